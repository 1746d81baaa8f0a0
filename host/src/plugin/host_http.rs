//! The host's side of `http`: requests and responses as handles.

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue};
use wasmtime::component::Resource;

use super::bindings::sluicegate::plugin::http::{
    EditError as WitEditError, Field, HeaderEdit, Host, HostRequest, HostResponse,
};
use super::bindings::{RequestHandle, ResponseHandle};
use super::reply::has_no_body;
use super::state::State;
use crate::exchange::edit::{self, Budget, EditError, Fields};
use crate::exchange::head::{RequestHead, Stage};

impl From<EditError> for WitEditError {
    fn from(error: EditError) -> Self {
        match error {
            EditError::InvalidName => Self::InvalidName,
            EditError::InvalidValue => Self::InvalidValue,
            EditError::Forbidden(why) => Self::Forbidden(why.to_owned()),
            EditError::TooLarge => Self::TooLarge,
        }
    }
}

impl Host for State {}

pub(super) type Edit = Result<(), WitEditError>;

fn first(headers: &HeaderMap, name: &str) -> Option<Vec<u8>> {
    headers.get(name).map(|value| value.as_bytes().to_vec())
}

fn values(headers: &HeaderMap, name: &str) -> Vec<Vec<u8>> {
    headers
        .get_all(name)
        .iter()
        .map(|value| value.as_bytes().to_vec())
        .collect()
}

pub(super) fn fields(headers: &HeaderMap) -> Vec<Field> {
    let owned = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), value.as_bytes().to_vec())
    };
    headers.iter().map(owned).collect()
}

/// Makes several edits, up to the first that is refused.
pub(super) fn edit_all(mut fields: Fields<'_>, edits: Vec<HeaderEdit>) -> Edit {
    for edit in edits {
        match edit {
            HeaderEdit::Set((name, value)) => fields.set(&name, value)?,
            HeaderEdit::Append((name, value)) => fields.append(&name, value)?,
            HeaderEdit::Default((name, value)) => fields.set_default(&name, value)?,
            HeaderEdit::Remove(name) => edit::remove(fields.headers, &name),
        }
    }
    Ok(())
}

impl State {
    /// The request, if it can still be changed.
    fn editable(&mut self) -> Result<&mut RequestHead, EditError> {
        match self.exchange.request.stage {
            Stage::Inbound => Ok(&mut self.exchange.request),
            Stage::Sent => Err(EditError::Forbidden(
                "the request is not on its way in any more",
            )),
        }
    }

    fn request_fields(&mut self) -> Result<Fields<'_>, EditError> {
        let budget = self.budget();
        let request = self.editable()?;
        Ok(Fields {
            headers: &mut request.headers,
            added: &mut request.added,
            budget,
        })
    }

    fn response_fields(&mut self) -> Result<Fields<'_>, EditError> {
        let budget = self.budget();
        let response = self
            .exchange
            .response
            .as_mut()
            .ok_or(EditError::Forbidden("there is no response yet"))?;
        Ok(Fields {
            headers: &mut response.headers,
            added: &mut response.added,
            budget,
        })
    }

    fn budget(&self) -> Budget {
        self.exchange.snapshot.head_budget
    }

    fn response_headers(&self) -> Option<&HeaderMap> {
        self.exchange
            .response
            .as_ref()
            .map(|response| &response.headers)
    }
}

impl HostRequest for State {
    fn method(&mut self, _: Resource<RequestHandle>) -> String {
        self.exchange.request.method.as_str().to_owned()
    }

    fn set_method(&mut self, _: Resource<RequestHandle>, method: String) -> Edit {
        let method = edit::method(&method)?;
        self.editable()?.method = method;
        Ok(())
    }

    fn path(&mut self, _: Resource<RequestHandle>) -> String {
        self.exchange.request.target.path().to_owned()
    }

    fn set_path(&mut self, _: Resource<RequestHandle>, path: String) -> Edit {
        let limit = self.budget().bytes;
        let request = self.editable()?;
        if path.len() > limit {
            return Err(WitEditError::TooLarge);
        }
        request
            .target
            .set_path(&path)
            .map_err(|_| WitEditError::InvalidValue)
    }

    fn query(&mut self, _: Resource<RequestHandle>) -> Option<String> {
        self.exchange.request.target.query().map(str::to_owned)
    }

    fn set_query(&mut self, _: Resource<RequestHandle>, query: Option<String>) -> Edit {
        let limit = self.budget().bytes;
        let request = self.editable()?;
        if query.as_ref().is_some_and(|query| query.len() > limit) {
            return Err(WitEditError::TooLarge);
        }
        request
            .target
            .set_query(query.as_deref())
            .map_err(|_| WitEditError::InvalidValue)
    }

    fn authority(&mut self, _: Resource<RequestHandle>) -> String {
        let request = &self.exchange.request;
        let value = request.authority.as_ref().unwrap_or(&request.host);
        String::from_utf8_lossy(value.as_bytes()).into_owned()
    }

    fn set_authority(&mut self, _: Resource<RequestHandle>, authority: String) -> Edit {
        let authority = edit::authority(&authority)?;
        self.editable()?.authority = Some(authority);
        Ok(())
    }

    fn scheme(&mut self, _: Resource<RequestHandle>) -> String {
        self.exchange.client.scheme.as_str().to_owned()
    }

    fn client_subject(&mut self, _: Resource<RequestHandle>) -> Option<String> {
        self.exchange.client_subject.as_deref().map(str::to_owned)
    }

    fn header(&mut self, _: Resource<RequestHandle>, name: String) -> Option<Vec<u8>> {
        first(&self.exchange.request.headers, &name)
    }

    fn header_values(&mut self, _: Resource<RequestHandle>, name: String) -> Vec<Vec<u8>> {
        values(&self.exchange.request.headers, &name)
    }

    fn headers(&mut self, _: Resource<RequestHandle>) -> Vec<Field> {
        fields(&self.exchange.request.headers)
    }

    fn set_header(&mut self, _: Resource<RequestHandle>, name: String, value: Vec<u8>) -> Edit {
        Ok(self.request_fields()?.set(&name, value)?)
    }

    fn append_header(&mut self, _: Resource<RequestHandle>, name: String, value: Vec<u8>) -> Edit {
        Ok(self.request_fields()?.append(&name, value)?)
    }

    fn remove_header(&mut self, _: Resource<RequestHandle>, name: String) {
        if let Ok(request) = self.editable() {
            edit::remove(&mut request.headers, &name);
        }
    }

    fn edit_headers(&mut self, _: Resource<RequestHandle>, edits: Vec<HeaderEdit>) -> Edit {
        edit_all(self.request_fields()?, edits)
    }

    fn path_parameter(&mut self, _: Resource<RequestHandle>, name: String) -> Option<String> {
        self.exchange.path_parameter(&name)
    }

    fn route(&mut self, _: Resource<RequestHandle>) -> String {
        self.exchange.route_name().to_owned()
    }

    fn client_address(&mut self, _: Resource<RequestHandle>) -> String {
        self.exchange.client.address.to_string()
    }

    fn request_id(&mut self, _: Resource<RequestHandle>) -> String {
        String::from_utf8_lossy(self.exchange.request_id.as_bytes()).into_owned()
    }

    fn set_upstream(&mut self, _: Resource<RequestHandle>, name: String) -> Edit {
        let upstream = self.exchange.snapshot.upstream_named(&name);
        self.editable()?.upstream = Some(upstream.ok_or(WitEditError::InvalidName)?);
        Ok(())
    }

    fn set_balance_key(&mut self, _: Resource<RequestHandle>, key: Vec<u8>) {
        if let Ok(request) = self.editable() {
            request.balance_key = Some(key);
        }
    }

    fn note(&mut self, _: Resource<RequestHandle>, name: String) -> Option<Vec<u8>> {
        self.exchange.notes.get(&name).map(<[u8]>::to_vec)
    }

    fn set_note(&mut self, _: Resource<RequestHandle>, name: String, value: Vec<u8>) {
        self.exchange.notes.set(name, value);
    }

    fn drop(&mut self, _: Resource<RequestHandle>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl HostResponse for State {
    fn status(&mut self, _: Resource<ResponseHandle>) -> u16 {
        self.exchange
            .response
            .as_ref()
            .map_or(0, |response| response.status.as_u16())
    }

    fn set_status(&mut self, _: Resource<ResponseHandle>, status: u16) -> Edit {
        let status = edit::status(status)?;
        if let Some(response) = &mut self.exchange.response {
            response.status = status;
        }
        Ok(())
    }

    fn header(&mut self, _: Resource<ResponseHandle>, name: String) -> Option<Vec<u8>> {
        self.response_headers()
            .and_then(|headers| first(headers, &name))
    }

    fn header_values(&mut self, _: Resource<ResponseHandle>, name: String) -> Vec<Vec<u8>> {
        self.response_headers()
            .map(|headers| values(headers, &name))
            .unwrap_or_default()
    }

    fn headers(&mut self, _: Resource<ResponseHandle>) -> Vec<Field> {
        self.response_headers().map(fields).unwrap_or_default()
    }

    fn set_header(&mut self, _: Resource<ResponseHandle>, name: String, value: Vec<u8>) -> Edit {
        Ok(self.response_fields()?.set(&name, value)?)
    }

    fn append_header(&mut self, _: Resource<ResponseHandle>, name: String, value: Vec<u8>) -> Edit {
        Ok(self.response_fields()?.append(&name, value)?)
    }

    fn remove_header(&mut self, _: Resource<ResponseHandle>, name: String) {
        let bodiless = has_no_body(&self.exchange);
        if let Some(response) = &mut self.exchange.response {
            // The answer to HEAD says how long the body would be; a plugin that would change the
            // body may take that back. Nothing is framed by it.
            if bodiless && name.eq_ignore_ascii_case(CONTENT_LENGTH.as_str()) {
                response.headers.remove(CONTENT_LENGTH);
            } else {
                edit::remove(&mut response.headers, &name);
            }
        }
    }

    fn edit_headers(&mut self, _: Resource<ResponseHandle>, edits: Vec<HeaderEdit>) -> Edit {
        edit_all(self.response_fields()?, edits)
    }

    fn note(&mut self, _: Resource<ResponseHandle>, name: String) -> Option<Vec<u8>> {
        self.exchange.notes.get(&name).map(<[u8]>::to_vec)
    }

    fn set_note(&mut self, _: Resource<ResponseHandle>, name: String, value: Vec<u8>) {
        self.exchange.notes.set(name, value);
    }

    fn drop(&mut self, _: Resource<ResponseHandle>) -> wasmtime::Result<()> {
        Ok(())
    }
}
