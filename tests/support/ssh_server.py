"""An SSH server on loopback that serves a folder by SFTP, as a DVC remote of the kind ssh:// needs it."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import asyncssh

T = TypeVar("T")


@contextmanager
def serving(folder: Path, keys: Path) -> Iterator[tuple[int, Path]]:
    """Serve `folder` as the root of the server; yield its port, and the key of a client, in `keys`."""
    own, client = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    client.write_private_key(keys / "key")
    (keys / "key").chmod(0o600)
    client.write_public_key(keys / "authorized")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def wait_for(step: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(step, loop).result(timeout=30)

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[own],
            authorized_client_keys=str(keys / "authorized"),
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(folder)),
        )

    server = wait_for(listen())
    try:
        yield server.get_port(), keys / "key"
    finally:
        server.close()
        wait_for(server.wait_closed())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
