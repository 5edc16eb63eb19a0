"""A relay in front of PostgreSQL that knows its protocol (version 3): it cuts a connection at a chosen message, or lets
no byte pass any more. `with Relay(folder, server_path) as relay:` listens at the same name in the folder."""
import asyncio
import contextlib
import os
import socket
import threading

TO_SERVER, TO_CLIENT = "to server", "to client"
STARTUP = "startup"


class Cut:
    """Armed until it has happened."""

    def __init__(self, way, kind, after, behind):
        self.way, self.kind, self.after, self.behind = way, kind, after, behind
        self.ripe = set()  # pairs on which `behind` has come
        self.done = threading.Event()


class Relay:
    def __init__(self, folder, server_path, port=None):
        self.path = f"{folder}/{os.path.basename(server_path)}"
        self.server_path, self.port = server_path, port
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.cuts = []
        self.pairs = set()
        self.open = None  # asyncio.Event: bytes pass

    def __enter__(self):
        self.thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *_):
        self._call(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    async def _listen(self):
        self.open = asyncio.Event()
        self.open.set()
        self.server = await asyncio.start_unix_server(self._pair, self.path)
        os.chmod(self.path, 0o777)

    async def _end(self):
        self.server.close()
        self.open.set()
        self._cut_all()
        while self.pairs:
            await asyncio.sleep(0.01)

    # --- what tests do

    def cut_at(self, way, kind, after=False, behind=None):
        """The next connection on which such a message comes is cut before the message is passed, or behind it. kind is
        its letter, or STARTUP; behind is that of a client's message that must have come there first."""
        cut = Cut(way, kind, after, behind)
        self.loop.call_soon_threadsafe(self.cuts.append, cut)
        return cut

    def cut_all(self):
        """They are cut when it returns."""
        async def cut():
            self._cut_all()
        asyncio.run_coroutine_threadsafe(cut(), self.loop).result(5)

    def freeze(self):
        """No byte passes, of no connection; new ones are accepted and hear nothing."""
        self.loop.call_soon_threadsafe(self.open.clear)

    def thaw(self):
        self.loop.call_soon_threadsafe(self.open.set)

    # --- passing

    def _cut_all(self):
        for client, _ in self.pairs:  # all in one moment: a read that runs again finds no other that still looks well
            with contextlib.suppress(OSError):
                client.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        for pair in list(self.pairs):
            self._close(pair)

    @staticmethod
    def _close(pair):
        for writer in pair:
            writer.transport.abort()

    async def _pair(self, reader, writer):
        try:
            to_reader, to_writer = await asyncio.open_unix_connection(self.server_path)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, to_writer)
        self.pairs.add(pair)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await asyncio.gather(self._pass(reader, to_writer, TO_SERVER, pair),
                                 self._pass(to_reader, writer, TO_CLIENT, pair))
        self._close(pair)
        self.pairs.discard(pair)

    async def _pass(self, reader, writer, way, pair):
        untyped = way == TO_SERVER  # the first message of a client has no letter
        try:
            while True:
                head = await reader.readexactly(4 if untyped else 5)
                kind = STARTUP if untyped else chr(head[0])
                body = await reader.readexactly(int.from_bytes(head[-4:], "big") - 4)
                await self.open.wait()
                cut = self._armed(way, kind, pair)
                if cut is None or cut.after:
                    writer.write(head + body)
                if cut is not None:
                    self._close(pair)
                    cut.done.set()
                    return
                untyped = False
        except asyncio.IncompleteReadError:
            if way == TO_SERVER:
                writer.close()
            else:
                self._close(pair)

    def _armed(self, way, kind, pair):
        for cut in self.cuts:
            if way == TO_SERVER and kind == cut.behind:
                cut.ripe.add(pair)
            if cut.way == way and cut.kind == kind and (cut.behind is None or pair in cut.ripe):
                self.cuts.remove(cut)
                return cut
        return None
