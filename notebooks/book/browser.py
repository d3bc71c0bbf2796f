"""Browsers for the checks of what was built, and a server for it on this machine."""

import atexit
import concurrent.futures
import contextlib
import functools
import http.server
import multiprocessing
import os
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


def in_browsers(check, base, names):
    """What `check(page, base, name)` finds, a list for each name, with a browser a processor.

    A browser has one page for all names: it keeps what they share, scripts above all, and a page of its
    own for each name took three times as long.
    """
    processes = concurrent.futures.ProcessPoolExecutor(
        min(len(names), os.cpu_count()), multiprocessing.get_context("spawn"), _open_browser
    )
    with processes:
        yield from processes.map(functools.partial(_found, check, base), names)


def _open_browser():
    """The one page of this process, open until the process ends."""
    global _page
    open_until_the_end = contextlib.ExitStack()
    _page = open_until_the_end.enter_context(chromium()).new_page()
    atexit.register(open_until_the_end.close)


def _found(check, base, name):
    return list(check(_page, base, name))


@contextlib.contextmanager
def requests_elsewhere(page, base):
    """The addresses outside of `base` that a page asks for meanwhile: the set fills by itself."""
    elsewhere = set()

    def note(request):
        if not request.url.startswith((base, "data:", "blob:")):
            elsewhere.add(request.url)

    page.on("request", note)
    try:
        yield elsewhere
    finally:
        page.remove_listener("request", note)
