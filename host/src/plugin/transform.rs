//! A body that streams through a plugin: each piece goes into the guest's transform, what comes
//! out takes its place. Backpressure holds, because nothing is read before it is asked for.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderValue;
use http_body::{Body, Frame, SizeHint};
use wasmtime::component::ResourceAny;

use super::failure::{BrokeBody, Hook, HookFailure, report};
use super::instance::Side;
use super::pool::Lease;
use crate::exchange::Exchange;
use crate::exchange::body::BodyError;

/// A guest's transform and the instance that it lives in.
#[derive(Debug)]
pub struct Transform {
    lease: Lease,
    handle: ResourceAny,
    side: Side,
    request_id: HeaderValue,
}

impl Transform {
    /// A transform that `open` has returned.
    pub fn new(lease: Lease, handle: ResourceAny, side: Side, exchange: &Exchange) -> Self {
        Self {
            lease,
            handle,
            side,
            request_id: exchange.request_id.clone(),
        }
    }

    fn step(&mut self, chunk: Option<&[u8]>) -> Result<Bytes, BodyError> {
        let (handle, side) = (self.handle, self.side);
        self.lease
            .run(|instance| instance.transform(side, handle, chunk))
            .map(Bytes::from)
            .map_err(|failure| self.report(&failure))
    }

    fn report(&self, failure: &HookFailure) -> BodyError {
        let hook = match self.side {
            Side::Request => Hook::RequestBody,
            Side::Response => Hook::ResponseBody,
        };
        let layer = self.lease.layer();
        report(layer, hook, &self.request_id, failure);
        BrokeBody(Arc::clone(&layer.name)).into()
    }
}

impl Drop for Transform {
    fn drop(&mut self) {
        if self.lease.is_spent() {
            return;
        }
        let handle = self.handle;
        // Where this fails the instance is discarded, and the transform with it. The body is through by now.
        if let Err(failure) = self.lease.run(|instance| instance.drop_transform(handle)) {
            self.report(&failure);
        }
    }
}

/// A body and the transform around it.
#[derive(Debug)]
pub struct Transformed<B> {
    inner: B,
    transform: Option<Transform>,
    trailers: Option<Frame<Bytes>>,
}

impl<B> Transformed<B> {
    /// Puts a transform around a body.
    pub fn new(inner: B, transform: Transform) -> Self {
        Self {
            inner,
            transform: Some(transform),
            trailers: None,
        }
    }

    /// The body that goes in.
    pub fn inner(&self) -> &B {
        &self.inner
    }

    /// The body that goes in.
    pub fn inner_mut(&mut self) -> &mut B {
        &mut self.inner
    }
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Body for Transformed<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        while let Some(transform) = &mut this.transform {
            let frame = match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    this.transform = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => return Poll::Ready(this.finish()),
            };
            match frame.into_data() {
                Ok(chunk) if chunk.is_empty() => {}
                Ok(chunk) => match transform.step(Some(&chunk)) {
                    Ok(output) if output.is_empty() => {}
                    Ok(output) => return Poll::Ready(Some(Ok(Frame::data(output)))),
                    Err(error) => {
                        this.transform = None;
                        return Poll::Ready(Some(Err(error)));
                    }
                },
                Err(trailers) => {
                    this.trailers = Some(trailers);
                    return Poll::Ready(this.finish());
                }
            }
        }
        Poll::Ready(this.trailers.take().map(Ok))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl<B> Transformed<B> {
    fn finish(&mut self) -> Option<Result<Frame<Bytes>, BodyError>> {
        let mut transform = self.transform.take()?;
        match transform.step(None) {
            Ok(output) if output.is_empty() => self.trailers.take().map(Ok),
            Ok(output) => Some(Ok(Frame::data(output))),
            Err(error) => {
                self.trailers = None;
                Some(Err(error))
            }
        }
    }
}
