//! Bodies on their way through the gateway, in both directions.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use super::client_body::ClientBody;
use crate::plugin::bindings::sluicegate::plugin::http::BodyKind;
use crate::plugin::transform::{Transform, Transformed};
use crate::upstream::body::UpstreamBody;

/// What breaks a body off.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body from `S`, as it came, or as plugins have changed it.
#[derive(Debug)]
pub enum Flow<S> {
    /// None.
    Empty,
    /// All of it is here, if it hasn't been taken yet.
    Whole(Option<Bytes>),
    /// As it comes.
    Source(S),
    /// Through a plugin's transform.
    Transformed(Box<Transformed<Flow<S>>>),
}

/// The body of a request.
pub type RequestBody = Flow<ClientBody>;
/// The body of a response.
pub type ResponseBody = Flow<UpstreamBody>;

/// Why a body could not be collected.
#[derive(Debug)]
pub enum CollectError {
    /// It is longer than the limit.
    TooLong,
    /// It broke off.
    Broken(BodyError),
}

impl<S> Flow<S>
where
    S: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    /// A body of these bytes.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() {
            Self::Empty
        } else {
            Self::Whole(Some(bytes))
        }
    }

    /// Puts a transform around it.
    #[must_use]
    pub fn through(self, transform: Transform) -> Self {
        Self::Transformed(Box::new(Transformed::new(self, transform)))
    }

    /// What is known of its length.
    pub fn kind(&self) -> BodyKind {
        if self.is_end_stream() {
            BodyKind::None
        } else if self.size_hint().exact().is_some() {
            BodyKind::KnownLength
        } else {
            BodyKind::Streaming
        }
    }

    /// Collects all of it, if it isn't longer than `limit`. Trailers are dropped: what a plugin
    /// makes of the body need not have them.
    ///
    /// # Errors
    /// See [`CollectError`]; what was collected is gone then.
    pub async fn collect_up_to(mut self, limit: u64) -> Result<Bytes, CollectError> {
        if self.size_hint().lower() > limit {
            return Err(CollectError::TooLong);
        }
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        while let Some(frame) = self.frame().await {
            let Ok(data) = frame.map_err(CollectError::Broken)?.into_data() else {
                continue;
            };
            if (first.len() + rest.len() + data.len()) as u64 > limit {
                return Err(CollectError::TooLong);
            }
            if first.is_empty() && rest.is_empty() {
                // Nearly always the only piece: no need to copy it.
                first = data;
                continue;
            }
            if rest.is_empty() {
                rest.extend_from_slice(&first);
                first = Bytes::new();
            }
            rest.extend_from_slice(&data);
        }
        Ok(if rest.is_empty() {
            first
        } else {
            rest.freeze()
        })
    }
}

impl ResponseBody {
    /// Sends more of the request, while nobody asks for more of the response.
    pub fn drive_upload(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Source(body) => body.drive_upload(cx),
            Self::Transformed(body) => body.inner_mut().drive_upload(cx),
            Self::Empty | Self::Whole(_) => {}
        }
    }
}

impl<S> Body for Flow<S>
where
    S: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Source(body) => Pin::new(body).poll_frame(cx),
            Self::Transformed(body) => Pin::new(body.as_mut()).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty | Self::Whole(None) => true,
            Self::Whole(Some(_)) | Self::Transformed(_) => false,
            Self::Source(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty | Self::Whole(None) => SizeHint::with_exact(0),
            Self::Whole(Some(bytes)) => SizeHint::with_exact(bytes.len() as u64),
            Self::Source(body) => body.size_hint(),
            Self::Transformed(_) => SizeHint::default(),
        }
    }
}
