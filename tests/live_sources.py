"""Sources that give their bytes once, in their own time: a named pipe and a server on this machine."""

import contextlib
import http.server
import io
import os
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import av

Chunks = Iterable[bytes]


@contextlib.contextmanager
def pipe(path: Path, chunks: Chunks, *, pause_s: float = 0.0) -> Iterator[Path]:
    """A named pipe into which a thread writes."""
    os.mkfifo(path)

    def write() -> None:
        with contextlib.suppress(BrokenPipeError), path.open("wb", buffering=0) as file:
            for chunk in chunks:
                file.write(chunk)
                time.sleep(pause_s)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield path
    finally:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))  # wakes a writer that still waits for a reader
        thread.join()


@contextlib.contextmanager
def server(chunks: Chunks, *, kind: str, pause_s: float = 0.0) -> Iterator[str]:
    """The address of an HTTP server that sends the chunks, whatever it is asked for, and says when it is done."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                for chunk in (*chunks, b""):
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                    time.sleep(pause_s)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as here:
        here.daemon_threads = True
        thread = threading.Thread(target=here.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{here.server_port}/video"
        finally:
            here.shutdown()
            thread.join()


def as_container(path: Path, name: str = "mpegts") -> bytes:
    """The packets of a video in another container, without a word the one that cameras send."""
    out = io.BytesIO()
    with av.open(str(path)) as source, av.open(out, mode="w", format=name) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return out.getvalue()
