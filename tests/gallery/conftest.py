"""The explorer's page, written once, and a browser that opens it."""

import shutil

import pytest

from common.console import run
from gallery.commands import COMMANDS


@pytest.fixture(scope="session")
def page(tmp_path_factory):
    """explorer.html as the command writes it."""
    folder = tmp_path_factory.mktemp("site")
    assert run("gallery", COMMANDS, "", ["explorer", "--out", str(folder)]) == 0
    return folder / "explorer.html"


@pytest.fixture(scope="session")
def driver():
    """A headless Chromium."""
    browser, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or chromedriver is None:
        pytest.skip("no Chromium here (Debian: chromium, chromium-driver)")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1300,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=chromedriver))
    yield started
    started.quit()
