"""TLS in front of a PostgreSQL server that was built without: as PostgreSQL does it, after the client asked for it."""

import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

from postgres_instance import PostgresInstance

__all__ = ["TLSFront"]

_ASKED_FOR_TLS = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


class TLSFront:
    """Takes connections at ``port`` of the loopback address, with TLS for those who ask, and hands them on."""

    def __init__(self, server: PostgresInstance, certificate: Path, key: Path) -> None:
        self._server = server
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # (close() alone does not end an accept() of another thread.)
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self._server.port)) as server:
            first = client.recv(8, socket.MSG_WAITALL)
            if first != _ASKED_FOR_TLS:
                server.sendall(first)
                self._relay(client, server)
                return
            client.sendall(b"S")
            with self._context.wrap_socket(client, server_side=True) as encrypted:
                self._relay(encrypted, server)

    @staticmethod
    def _relay(client: socket.socket, server: socket.socket) -> None:
        """Both ways, until one side ends; the client's side is read by a thread of its own."""

        def to_server() -> None:
            with suppress(OSError):
                while chunk := client.recv(65_536):
                    server.sendall(chunk)
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)

        reader = threading.Thread(target=to_server, daemon=True)
        reader.start()
        with suppress(OSError):
            while chunk := server.recv(65_536):
                client.sendall(chunk)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        reader.join()
