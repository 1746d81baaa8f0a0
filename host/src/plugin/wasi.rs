//! WASI with nothing granted: what a guest's standard library imports exists, and leads nowhere.
//!
//! There is no file, no environment, no argument and no network. Clocks and randomness work. What a
//! guest writes to its standard output or error becomes lines in the log (that is where the text
//! of a Rust panic goes).
//!
//! Hooks run on a worker's own thread, so nothing here may wait: wasmtime-wasi's synchronous
//! functions would block inside of the runtime. `Io` polls its asynchronous ones once; a guest that
//! asks to wait (sleeps, say) traps with a text that says so.

use std::future::Future;
use std::pin::pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::runtime::{Handle, Runtime};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream, WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::sync::io as sync_io;
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, OutputStream, Pollable, StreamError, StreamResult,
};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::{WasiCtx, WasiView, async_trait};
use wasmtime_wasi_io::bindings::wasi::io as async_io;

use super::host_log::{Output, printable};
use super::state::State;

/// Random bytes of one call, which the host makes before the guest has to have room for them.
const MAX_RANDOM: u64 = 64 * 1024;

/// A context in which nothing is granted.
pub fn nothing_granted(output: &Output) -> WasiCtx {
    let output = LogStream(output.clone());
    let mut builder = WasiCtx::builder();
    builder
        .stdout(output.clone())
        .stderr(output)
        .allow_blocking_current_thread(true)
        .max_random_size(MAX_RANDOM)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    builder.build()
}

/// Links what guests of a standard library import. Sockets and HTTP are not there: a component
/// that imports them is refused when it is loaded.
///
/// # Errors
/// wasmtime's, where a name is linked twice.
pub fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    async_io::error::add_to_linker::<State, Table>(linker, |state| state.ctx().table)?;
    sync_io::poll::add_to_linker::<State, Io<'static>>(linker, |state| Io(state.ctx().table))?;
    sync_io::streams::add_to_linker::<State, Io<'static>>(linker, |state| Io(state.ctx().table))?;
    clocks::wall_clock::add_to_linker::<State, WasiClocks>(linker, State::clocks)?;
    clocks::monotonic_clock::add_to_linker::<State, WasiClocks>(linker, State::clocks)?;
    filesystem::preopens::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)?;
    wasmtime_wasi::p2::bindings::sync::filesystem::types::add_to_linker::<State, WasiFilesystem>(
        linker,
        State::filesystem,
    )?;
    random::random::add_to_linker::<State, WasiRandom>(linker, State::randomness)?;
    random::insecure::add_to_linker::<State, WasiRandom>(linker, State::randomness)?;
    random::insecure_seed::add_to_linker::<State, WasiRandom>(linker, State::randomness)?;
    cli::environment::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::exit::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::stdin::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::stdout::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::stderr::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_input::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_output::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdin::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdout::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stderr::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    Ok(())
}

struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

/// `wasi:io` that never waits.
struct Io<'a>(&'a mut ResourceTable);

impl HasData for Io<'static> {
    type Data<'a> = Io<'a>;
}

/// The result of a future that is ready at once.
fn ready<T>(future: impl Future<Output = T>) -> wasmtime::Result<T> {
    // A configuration is loaded on a thread without a runtime, and WASI's clocks panic where there is none.
    static TIMERS: OnceLock<Option<Runtime>> = OnceLock::new();
    let make = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .ok()
    };
    let _entered = match Handle::try_current() {
        Ok(_) => None,
        Err(_) => TIMERS.get_or_init(make).as_ref().map(Runtime::enter),
    };
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Ok(result),
        Poll::Pending => Err(wasmtime::Error::msg(
            "it asked WASI to wait (to sleep, for example): a hook may not wait",
        )),
    }
}

fn ready_stream<T>(future: impl Future<Output = StreamResult<T>>) -> StreamResult<T> {
    ready(future).map_err(StreamError::Trap)?
}

impl sync_io::poll::Host for Io<'_> {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        ready(async_io::poll::Host::poll(self.0, pollables))?
    }
}

impl sync_io::poll::HostPollable for Io<'_> {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        ready(async_io::poll::HostPollable::ready(self.0, pollable))?
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        ready(async_io::poll::HostPollable::block(self.0, pollable))?
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        async_io::poll::HostPollable::drop(self.0, pollable)
    }
}

impl sync_io::streams::Host for Io<'_> {
    fn convert_stream_error(
        &mut self,
        error: StreamError,
    ) -> wasmtime::Result<sync_io::streams::StreamError> {
        Ok(async_io::streams::Host::convert_stream_error(self.0, error)?.into())
    }
}

impl sync_io::streams::HostOutputStream for Io<'_> {
    fn check_write(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<u64> {
        async_io::streams::HostOutputStream::check_write(self.0, stream)
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        async_io::streams::HostOutputStream::write(self.0, stream, bytes)
    }

    fn blocking_write_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        bytes: Vec<u8>,
    ) -> StreamResult<()> {
        ready_stream(
            async_io::streams::HostOutputStream::blocking_write_and_flush(self.0, stream, bytes),
        )
    }

    fn flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        async_io::streams::HostOutputStream::flush(self.0, stream)
    }

    fn blocking_flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        ready_stream(async_io::streams::HostOutputStream::blocking_flush(
            self.0, stream,
        ))
    }

    fn subscribe(
        &mut self,
        stream: Resource<DynOutputStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        async_io::streams::HostOutputStream::subscribe(self.0, stream)
    }

    fn write_zeroes(&mut self, stream: Resource<DynOutputStream>, length: u64) -> StreamResult<()> {
        async_io::streams::HostOutputStream::write_zeroes(self.0, stream, length)
    }

    fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        length: u64,
    ) -> StreamResult<()> {
        ready_stream(
            async_io::streams::HostOutputStream::blocking_write_zeroes_and_flush(
                self.0, stream, length,
            ),
        )
    }

    fn splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        length: u64,
    ) -> StreamResult<u64> {
        async_io::streams::HostOutputStream::splice(self.0, to, from, length)
    }

    fn blocking_splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        length: u64,
    ) -> StreamResult<u64> {
        ready_stream(async_io::streams::HostOutputStream::blocking_splice(
            self.0, to, from, length,
        ))
    }

    fn drop(&mut self, stream: Resource<DynOutputStream>) -> wasmtime::Result<()> {
        ready(async_io::streams::HostOutputStream::drop(self.0, stream))?
    }
}

impl sync_io::streams::HostInputStream for Io<'_> {
    fn read(&mut self, stream: Resource<DynInputStream>, length: u64) -> StreamResult<Vec<u8>> {
        async_io::streams::HostInputStream::read(self.0, stream, length)
    }

    fn blocking_read(
        &mut self,
        stream: Resource<DynInputStream>,
        length: u64,
    ) -> StreamResult<Vec<u8>> {
        ready_stream(async_io::streams::HostInputStream::blocking_read(
            self.0, stream, length,
        ))
    }

    fn skip(&mut self, stream: Resource<DynInputStream>, length: u64) -> StreamResult<u64> {
        async_io::streams::HostInputStream::skip(self.0, stream, length)
    }

    fn blocking_skip(
        &mut self,
        stream: Resource<DynInputStream>,
        length: u64,
    ) -> StreamResult<u64> {
        ready_stream(async_io::streams::HostInputStream::blocking_skip(
            self.0, stream, length,
        ))
    }

    fn subscribe(
        &mut self,
        stream: Resource<DynInputStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        async_io::streams::HostInputStream::subscribe(self.0, stream)
    }

    fn drop(&mut self, stream: Resource<DynInputStream>) -> wasmtime::Result<()> {
        ready(async_io::streams::HostInputStream::drop(self.0, stream))?
    }
}

/// A guest's standard output and error: each write becomes lines in the log.
#[derive(Clone)]
struct LogStream(Output);

impl LogStream {
    fn log(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            if self.0.admits_line() {
                tracing::warn!(target: "plugin", plugin = &*self.0.plugin, "{}", printable(line));
            }
        }
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only p2 guests are loaded, and they come through `p2_stream`.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.log(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(8 * 1024)
    }
}
