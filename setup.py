"""The part of the metadata that needs the address of the repository; all the rest is in setup.cfg.

Nobody has named an address yet, so it comes from the environment variable FREE_ENERGIES_URL.
"""

import os
import pathlib
import re

from setuptools import setup

URL = os.environ.get("FREE_ENERGIES_URL", "").rstrip("/")
RELATIVE = re.compile(r"(!?)\[([^]]*)\]\((?!\w+:|#)([^)]+)\)")


def absolute(match):
    """A relative link or picture of the README under URL; without a URL, its words alone."""
    picture, words, target = match.groups()
    kind = "raw" if picture else "blob"
    return f"{picture}[{words}]({URL}/{kind}/HEAD/{target})" if URL else words


setup(
    long_description=RELATIVE.sub(absolute, pathlib.Path("README.md").read_text("utf-8")),
    project_urls={"Source": URL, "Changelog": f"{URL}/blob/HEAD/CHANGELOG.md"} if URL else {},
)
