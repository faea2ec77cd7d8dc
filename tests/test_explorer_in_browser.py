"""The explorer in a browser: Chromium without a window, moved through its driver."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex

import relulab as rl
from relulab.figures import FATE_COLORS

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
SCRIPT = Path(__file__).parent.parent / "experiments" / "explorer.py"
SECONDS = 120  # in which anything happens, on the slowest machine
CELLS = 60

# The colors of all dots of the canvas, with how many dots have them.
COUNTED = """
const canvas = document.querySelector("canvas.mpl-canvas");
if (!canvas || !canvas.width) return {};
const dots = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
const counted = {};
for (let i = 0; i < dots.length; i += 4) {
    const color = "#" + [0, 1, 2].map(k => dots[i + k].toString(16).padStart(2, "0")).join("");
    counted[color] = (counted[color] || 0) + 1;
}
return counted;
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium"),
    pytest.mark.skipif(DRIVER is None, reason="needs Debian's package chromium-driver"),
]


@pytest.fixture
def address(tmp_path):
    """Start the explorer, and return the address that it says."""
    command = [sys.executable, "-u", SCRIPT, "--browser", "--cells", str(CELLS)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        said = server.stdout.readline()
        [found] = re.findall(r"http://\S+", said)
        yield found
        server.send_signal(signal.SIGINT)
        assert server.wait(SECONDS) == 0


@pytest.fixture
def browser():
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(option)
    options.add_argument("--window-size=1400,1000")
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def shares(rate):
    """Return the share of each color in the map at a learning rate, as training gives it."""
    axes = {"w": np.linspace(-1, 5, CELLS), "v": np.linspace(-4, 4, CELLS)}
    runs = rl.Sweep(data=rl.TrainingSet.point(1, 3), **axes, learning_rate=rate).run()
    fates = runs.groupby(["outcome", "unit"], observed=True).size() / len(runs)
    return {to_hex(FATE_COLORS[fate]): share for fate, share in fates.items()}


def shows(rate, n_dots):
    """Return a condition: the colors of the picture are those of the map at a learning rate."""
    expected = shares(rate)

    def holds(driver):
        counted = driver.execute_script(COUNTED)
        return all(
            # Legend, sliders and half cells at the edges have some, closed forms take some.
            abs(counted.get(color, 0) / n_dots - share) < 0.035
            for color, share in expected.items()
        )

    return holds


def test_the_map_and_its_sliders_in_a_browser(address, browser):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    assert address.startswith("http://127.0.0.1:")
    browser.get(address)
    wait = WebDriverWait(browser, SECONDS)
    n_dots = 0.46 * 1200 * 0.54 * 720  # of the map
    wait.until(shows(0.3, n_dots))

    # Drag the slider of the learning rate beyond its left end. What takes the mouse lies above the
    # canvas and is as large; places are told from its middle.
    above = browser.find_element(By.CSS_SELECTOR, "canvas.mpl-canvas").find_element(By.XPATH, "..")
    drag = ActionChains(browser).move_to_element_with_offset(above, 184 - 600, 630 - 360)
    drag.click_and_hold()
    for _ in range(5):
        drag.move_by_offset(-24, 0)
    drag.release().perform()
    wait.until(shows(1e-3, n_dots))
