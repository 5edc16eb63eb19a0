"""A server's unix socket, further away: what is read is passed on later, in each direction, or not at all."""
import asyncio
import contextlib
import os
import threading


class Far:
    """`with Far(folder, server_path, 0.005) as far:` listens at the same name in the folder until the block ends."""

    def __init__(self, folder, server_path, seconds):
        self.path = f"{folder}/{os.path.basename(server_path)}"
        self.server_path, self.seconds = server_path, seconds
        self.frozen, self.refusing, self.writers = False, False, set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        asyncio.run_coroutine_threadsafe(asyncio.start_unix_server(self._pair, self.path), self.loop).result(5)
        os.chmod(self.path, 0o777)
        return self

    def __exit__(self, *_):
        self._call(lambda: [task.cancel() for task in asyncio.all_tasks() - {asyncio.current_task()}])
        self._call(self._close_all)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()

    def freeze(self):
        """No byte passes any more on what is connected now, and nobody is told."""
        self._call(setattr, self, "frozen", True)

    def cut(self):
        """Everything is closed, and whoever comes is turned away, until mend()."""
        self._call(setattr, self, "refusing", True)
        self._call(self._close_all)

    def mend(self):
        self._call(setattr, self, "frozen", False)
        self._call(setattr, self, "refusing", False)

    def _close_all(self):
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()

    def _call(self, function, *args):
        async def call():
            function(*args)
        asyncio.run_coroutine_threadsafe(call(), self.loop).result(5)

    async def _pair(self, reader, writer):
        if self.refusing:
            writer.close()
            return
        to_reader, to_writer = await asyncio.open_unix_connection(self.server_path)
        self.writers |= {writer, to_writer}
        await asyncio.gather(self._pass(reader, to_writer), self._pass(to_reader, writer))

    async def _pass(self, reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if self.frozen:
                    return
                self.loop.call_later(self.seconds, writer.write, data)
        self.loop.call_later(self.seconds, writer.close)
