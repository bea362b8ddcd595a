# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes of Modal, and calls of its SDK that end in time."""
import asyncio

import modal

CALL_SEC = 30


async def within(seconds, call):
    """A call of the SDK, which has no time limit of its own."""
    try:
        return await asyncio.wait_for(call, seconds)
    except asyncio.TimeoutError:
        raise TimeoutError(f"no answer from Modal within {seconds} s") from None


def one_line(error):
    words = " ".join(str(error).split())
    return words or type(error).__name__


class Volume:
    """Files of this machine at Modal, by names that say what is in them, each uploaded once."""

    def __init__(self, name):
        self.there, self.names, self.uploads = modal.Volume.from_name(name, create_if_missing=True), None, {}

    async def open(self):
        if self.names is None:
            await within(CALL_SEC * 4, self.there.hydrate.aio())
            self.names = {entry.path.lstrip("/") for entry in await within(CALL_SEC * 4, self.there.listdir.aio("/"))}

    async def have(self, path):
        name = path.name
        if name not in self.uploads or (self.uploads[name].done() and self.uploads[name].exception()):
            self.uploads[name] = asyncio.ensure_future(self.put(path))
        await asyncio.shield(self.uploads[name])

    async def put(self, path):
        if path.name in self.names:
            return

        async def work():
            async with self.there.batch_upload(force=True) as batch:
                batch.put_file(path, f"/{path.name}")

        await within(3600, work())
