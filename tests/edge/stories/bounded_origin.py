"""A server of known capacity: `python bounded_origin.py PORT MOST SECONDS`.

It answers MOST requests at a time, each after SECONDS, lets all others wait, and refuses none.
"""

import asyncio
import sys

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nserved"


async def main(port: int, most: int, seconds: float) -> None:
    room = asyncio.Semaphore(most)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                async with room:
                    await asyncio.sleep(seconds)
                writer.write(RESPONSE)
        except (OSError, EOFError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
