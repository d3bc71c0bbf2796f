"""A browser for the checks of what was built, and a server for it on this machine."""

import contextlib
import functools
import http.server
import shutil
import threading

from playwright.sync_api import sync_playwright


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """A server of files that does not tell what it serves."""

    def log_message(self, *args):
        pass


def serve(folder):
    """Serve a folder on a free port of this machine; its address."""
    handler = functools.partial(QuietHandler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}/"


@contextlib.contextmanager
def chromium():
    """Chromium without a window: the system's own where there is one, or else Playwright's."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


def requests_elsewhere(page, base):
    """The addresses outside of `base` that a page asks for from now on: the set fills by itself."""
    elsewhere = set()

    def note(request):
        if not request.url.startswith((base, "data:", "blob:")):
            elsewhere.add(request.url)

    page.on("request", note)
    return elsewhere
