"""The explorer in a real browser: sliders, keyboard, links, numbers, narrow and dark."""

import json
import shlex
import subprocess
import sys

import pytest

pytest.importorskip("selenium")


@pytest.fixture
def opened(driver, page):
    """The page, freshly opened; the second opening counts, so that an address with a state is read."""

    def go(fragment=""):
        driver.get("about:blank")
        driver.get(page.as_uri() + fragment)
        return driver

    return go


def number(driver, cell):
    return float(driver.execute_script(f"return document.getElementById('{cell}').dataset.value"))


def settled(driver, script):
    """A value of the page after its next frame."""
    return driver.execute_async_script(
        f"const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done({script})));"
    )


def test_it_opens_without_a_complaint_and_asks_no_network(opened):
    driver = opened()
    assert settled(driver, "document.body.dataset.drawn") == "default"
    assert [entry for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0


@pytest.mark.parametrize(
    ("model", "column"), [("plain", "plain"), ("rp", "pathways"), ("rp-shared", "pathways"), ("S", "law")]
)
def test_its_numbers_are_those_of_the_command_and_the_python_that_it_copies(opened, model, column):
    pathways = model if model.startswith("rp") else "rp"
    driver = opened(f"#exposure=0.37&replay=0.1&leakage=0.2&step_ratio=2&post_time=4&lost=0.4&pathways={pathways}")
    driver.execute_script(f"document.getElementById('copied-model').value = '{model}'")
    driver.find_element("css selector", "[data-copy=command]").click()
    words = shlex.split(driver.find_element("id", "copied").text)
    assert words[:3] == ["python", "-m", "theory"]
    done = subprocess.run([sys.executable, *words[1:], "--json"], capture_output=True, text=True, check=True)
    losses = json.loads(done.stdout)["losses"]
    driver.find_element("css selector", "[data-copy=python]").click()
    lines = (
        driver.find_element("id", "copied")
        .text.replace("predict(", "found = predict(", 1)
        .replace("import found = predict(", "import predict\n")
    )
    scope: dict = {}
    exec(lines, scope)
    for name in ("loss_im", "loss_ret"):
        assert number(driver, f"{column}-{name}") == pytest.approx(losses[name], rel=1e-8)
        assert float(getattr(scope["found"], name)) == pytest.approx(losses[name], rel=1e-12)


def test_a_slider_moves_the_numbers_by_mouse_and_keyboard_and_the_link_holds_the_state(opened):
    from selenium.webdriver.common.keys import Keys

    driver = opened()
    before = number(driver, "plain-loss_im")
    slider = driver.find_element("id", "exposure")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert settled(driver, "location.hash") == "#exposure=0.21"
    slider.send_keys(Keys.END)
    assert settled(driver, "location.hash") == "#exposure=1"
    moved = number(driver, "plain-loss_im")
    assert moved != before
    again = opened("#exposure=1")
    settled(again, "0")
    assert number(again, "plain-loss_im") == moved
    again.find_element("id", "reset").click()
    assert settled(again, "location.hash") == ""
    assert number(again, "plain-loss_im") == before


def test_alpha_moves_lambda_and_lambda_alpha(opened):
    driver = opened()
    script = "const one = document.getElementById('alpha'); one.value = 0.05; one.dispatchEvent(new Event('input'));"
    driver.execute_script(script)
    found = settled(driver, "document.getElementById('exposure').value")
    assert float(found) == pytest.approx(0.05 * 20 / (0.95 * 3), abs=0.006)
    assert float(settled(driver, "document.getElementById('alpha').value")) == pytest.approx(0.05, abs=0.001)


def test_a_link_with_nonsense_is_read_as_far_as_it_makes_sense(opened):
    driver = opened("#exposure=7&nothing=1&beta=1.5&split=whatever")
    settled(driver, "0")
    assert driver.execute_script("return [state.exposure, state.beta, state.split]") == [0.2, 1.5, "compute-matched"]


def test_a_click_on_a_map_goes_there(opened):
    driver = opened()
    settled(driver, "0")
    script = """const map = document.getElementById('map-plain'), box = map.getBoundingClientRect(), f = map.frame;
    map.dispatchEvent(new MouseEvent('click', {clientX: box.left + f.left + f.width * 0.75, clientY: box.top + f.top + 1}));"""
    driver.execute_script(script)
    assert settled(driver, "state.exposure") == 0.75
    assert settled(driver, "state.t_ft") > 10


def test_it_can_be_read_on_a_telephone_and_in_the_dark(opened):
    driver = opened()
    narrow = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
    try:
        assert settled(driver, "document.documentElement.scrollWidth") <= 360
        light = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
        back, text = settled(driver, "['backgroundColor', 'color'].map((one) => getComputedStyle(document.body)[one])")
        assert back != light
        assert contrast(back, text) > 7
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def contrast(one, other):
    """Contrast ratio of two `rgb(...)` colours, as WCAG defines it."""

    def luminance(colour):
        parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
