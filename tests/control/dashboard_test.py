#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The dashboard in a real browser: its numbers are those of status.json, all names are shown as text, it fits a
phone, and it has a dark mode. TP_SCREENSHOTS=DIR keeps screenshots."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from directory import DOCUMENTS, HOSTILE, TENPAK, Directory, done, ok, run, skip, skip_all  # noqa: E402

BROWSER = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
# What a page cannot say of itself: how wide it is, and what its colours have become.
PROBE = """<script>(function () {
  var d = document.documentElement, s = getComputedStyle(document.body);
  document.body.dataset.probe = JSON.stringify({width: d.clientWidth, scroll: d.scrollWidth, back: s.backgroundColor,
    cut: Array.from(document.querySelectorAll(".tile, section")).filter(function (e) { return e.scrollWidth > e.clientWidth; }).length,
    text: s.color, title: document.title, images: document.images.length, scripts: document.scripts.length});
})();</script></body>"""


class Dom(HTMLParser):
    """Elements in their order: (tag, attributes, text of it and of what is in it)."""

    VOID = {"meta", "link", "input", "br", "img"}

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.stack = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        element = [tag, dict(attrs), ""]
        self.elements.append(element)
        if tag not in self.VOID:
            self.stack.append(element)

    def handle_endtag(self, tag):
        while self.stack and self.stack.pop()[0] != tag:
            pass

    def handle_data(self, data):
        for element in self.stack:
            element[2] += data

    def by_id(self, name):
        return next((e for e in self.elements if e[1].get("id") == name), None)

    def by_class(self, name):
        return [e for e in self.elements if name in (e[1].get("class") or "").split()]


class Browser:
    def __init__(self, where):
        self.profile = where.root / "profile"

    def run(self, *arguments):
        command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage",
                   "--no-first-run", f"--user-data-dir={self.profile}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)

    def dom(self, page, width=1280, dark=False):
        out = self.run(f"--window-size={width},1200", *dark_flags(dark), "--dump-dom", page.as_uri())
        if "data-ready" not in out.stdout:
            print("# " + out.stderr[-2000:].replace("\n", "\n# "))
        return Dom(out.stdout)

    def picture(self, page, path, width, height, dark):
        self.run(f"--window-size={width},{height}", *dark_flags(dark), f"--screenshot={path}", page.as_uri())


def dark_flags(dark):
    return ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if dark else []


def value(dom, name):
    element = dom.by_id(name)
    return float(element[1]["value"]) if element and element[1].get("value") else None


def probe(dom):
    body = next(e for e in dom.elements if e[0] == "body")
    return json.loads(body[1].get("data-probe", "{}"))


def luminance(colour):
    red, green, blue = (int(n) / 255 for n in re.findall(r"\d+", colour)[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def data_of(page):
    """What is in the page, as its script reads it."""
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, flags=re.S)[1]
    return text, json.loads(text)


def check_numbers(dom, status, where):
    body = next(e for e in dom.elements if e[0] == "body")
    ok(body[1].get("data-ready") == "yes", f"{where}: the page's script ran to its end")
    for name, want in (("total", status["models"]["total"]), ("logical", status["logical_bytes"]),
                       ("stored", status["stored_bytes"]), ("saved", status["saved_bytes"]), ("ratio", status["ratio"])):
        ok(value(dom, name) == want, f"{where}: {name} is that of status.json", f"{value(dom, name)} is not {want}")


def check_lists(dom, status, models, jobs):
    shown = [e[2] for e in dom.by_class("family")]
    ok(len(shown) == len(status["families"]), "a bar a family", shown)
    for family, text in zip(status["families"], shown):
        ok((family["base"] or "not packed") in text, f"the family {family['base']!r}, in its place".replace(HOSTILE, "..."), text)
    rows = [e[2] for e in dom.by_class("model")]
    ok(len(rows) == len(models), "a bar a model", rows)
    ok(any(HOSTILE in r for r in rows), "a name with markup is shown as it is", rows)
    plain = sorted((m for m in models if m["kind"] == "plain"),
                   key=lambda m: (m["estimate"] is None, -(m["estimate"] or {"saves_bytes": m["logical_bytes"]})["saves_bytes"]))
    candidates = [e[2] for e in dom.by_class("candidate")]
    ok(len(candidates) == len(plain) and all(m["name"] in c for m, c in zip(plain, candidates)),
       "candidates: those with an estimate first, then by size", candidates)
    ok("would save" in candidates[0], "the estimate is shown", candidates)
    ended = [j for j in jobs if j["status"] not in ("pending", "running")]
    shown = [e[2] for e in dom.by_class("job")]
    ok(len(shown) == len(jobs), "every job is listed", shown)
    ok(all(any(j["job_id"] in s and j["status"] in s for s in shown) for j in ended), "with its state", shown)
    failed = next(j for j in ended if j["status"] == "failed")
    ok(any(failed["error"]["message"] in s for s in shown), "and with why it failed", shown)
    runs = dom.by_id("runs")[2]
    ok("No searches yet." in runs, "a place for the optimizer's runs", runs)


def check_safety(page, dom):
    text, _ = data_of(page)
    ok("<" not in text and ">" not in text and "\u2028" not in text, "the data has nothing that ends a script")
    found = probe(dom)
    ok(found["title"] == "tenpak" and found["images"] == 0, "no name has become markup or script", found)
    outside = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(https?:|//|[a-z]+\.[a-z])""", page)
    ok(not outside and "fetch(" not in page and "XMLHttpRequest" not in page, "nothing is fetched", outside)
    ok("default-src 'none'" in page, "and the page forbids it")


def check_looks(browser, page, dom, pictures):
    """DOM: the page in 1280 pixels, light."""
    for width in (360, 1280):
        for dark in (False, True):
            name = f"{width} pixels, {'dark' if dark else 'light'}"
            found = probe(dom if width == 1280 and not dark else browser.dom(page, width, dark))
            # Headless browsers have a least width of their own; what counts is that nothing sticks out.
            ok(found.get("scroll", 9999) <= found.get("width", 0) and found.get("cut") == 0, f"{name}: nothing sticks out", found)
            back, text = luminance(found["back"]), luminance(found["text"])
            ok((back < 0.2) == dark and abs(back - text) > 0.6, f"{name}: the colours are such, and far apart", found)
            if pictures:
                browser.picture(page, Path(pictures) / f"dashboard-{width}-{'dark' if dark else 'light'}.png", width,
                                2600 if width == 360 else 1700, dark)


def check_running(where, browser):
    """Jobs under way, seen from another process: what waits, what runs, how far."""
    where.make("large", "--layers=1", "--hidden=512", "--inter=1408", "--vocab=1024", "--seed=30")
    text = "\n".join(["large base=none codec=zstd zstd_level=19 threads=1", "tuned-3 base=none"])
    with subprocess.Popen([DOCUMENTS, "--run", TENPAK.resolve(), where.path, "compress", text],
                          stdout=subprocess.DEVNULL) as child:
        page, jobs = "", []
        for _ in range(2000):
            page = where.document("dashboard.html")
            jobs = [j for j in data_of(page)[1][2]["jobs"] if j["status"] == "running" and (j["progress"]["fraction"] or 0) > 0.01]
            if jobs or child.poll() is not None:
                break
            time.sleep(0.02)
        child.wait()
    if not ok(jobs, "a job was caught while it ran"):
        return
    path = where.root / "running.html"
    path.write_text(page.replace("</body>", PROBE))
    dom = browser.dom(path)
    shown = [e for e in dom.elements if e[1].get("role") == "progressbar"]
    want = 100 * jobs[0]["progress"]["done_bytes"] / jobs[0]["progress"]["total_bytes"]
    ok(any(abs(float(e[1]["aria-valuenow"]) - want) < 0.1 for e in shown), "its progress is shown", shown)
    ok(jobs[0]["model"] in dom.by_id("jobs-now")[2], "among those that run", dom.by_id("jobs-now")[2])
    if os.environ.get("TP_SCREENSHOTS"):
        browser.picture(path, Path(os.environ["TP_SCREENSHOTS"]) / "dashboard-running.png", 1280, 900, False)


def check_many(where, browser):
    """A thousand models: a page that is still one, with what is largest first."""
    for number in range(1000):
        folder = where.path / f"many-{number:04}"
        folder.mkdir()
        (folder / "config.json").write_text("{}" + " " * number)
    path = where.root / "many.html"
    page = where.document("dashboard.html")
    path.write_text(page.replace("</body>", PROBE))
    dom = browser.dom(path, 360)
    check_numbers(dom, data_of(page)[1][0], "a thousand models")
    ok(len(dom.by_class("model")) == 40 and "Show all" in dom.by_id("models")[2], "the first are shown, the rest on demand")
    # A browser without a screen is at least 500 pixels wide.
    for width in (360, 800, 1280):
        found = probe(dom if width == 360 else browser.dom(path, width))
        ok(found.get("cut") == 0, f"a thousand models, {width} pixels: no number is wider than its place", found)


def check_mount(where, browser):
    """As a user opens it: from the mount itself."""
    name = "rendered from a mount"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK) or not shutil.which("fusermount3"):
        skip(name, "there is no /dev/fuse, or no fusermount3")
        return
    point = where.root / "mnt"
    point.mkdir()
    run(TENPAK.resolve(), "mount", where.path, point)
    try:
        page = point / ".tenpak" / "dashboard.html"
        if not page.exists():
            skip(name, "this mount has no control directory")
            return
        dom = browser.dom(page)
        check_numbers(dom, json.loads((point / ".tenpak" / "status.json").read_text()), name)
        ok(str(point) in dom.by_id("mount")[2], f"{name}: it shows the mount", dom.by_id("mount"))
    finally:
        run(TENPAK.resolve(), "umount", point, check=False)


def candidate(codec, number, **more):
    """A row of a report, whose figures follow from NUMBER."""
    return {"codec": codec, "status": "complete", "why": "it costs more", "pack_bytes": 1000000 * (5 - number), "compression": number + 1.5,
            "ppl_delta": float(number), "kl_divergence": 0.01 * number, "latency_ms": 9.0 - number, "latency_p99_ms": 10.0,
            "throughput_tps": 100.0 + number, "cost_per_1m_tokens": None, "estimated": False, **more}


def check_search(where, browser, page, jobs):
    """With the result of a search in the page: its table, and a plot for each pair of figures."""
    job = {**jobs["jobs"][0], "verb": "optimize", "job_id": "20260203-040506-7", "candidates_evaluated": 3, "candidates_total": 3}
    rows = [candidate("one", 0), candidate("two", 1), candidate("three", 2, why=HOSTILE),
            candidate("four", 3, status="dropped", ppl_delta=None, latency_ms=None, throughput_tps=None, latency_p99_ms=None)]
    result = {"winner": {**rows[1], "why": None}, "binding": None, "pareto_front": ["one", "two"], "all_candidates": rows,
              "hardware": {"name": "local", "figures": "measured", "dollars_per_hour": None}}
    text, data = data_of(page)
    data[2]["jobs"].insert(0, job)
    for name, price in (("without a price", None), ("with a price", 2.5)):
        result["hardware"]["dollars_per_hour"] = price
        for number, row in enumerate(rows):
            row["cost_per_1m_tokens"] = price and price + number
        data[3][job["job_id"]] = result
        path = where.root / "search.html"
        path.write_text(page.replace(text, json.dumps(data).replace("<", "\\u003c")))
        dom = browser.dom(path)
        ok(dom.by_id("runs") and "winner: two" in dom.by_id("runs")[2], f"{name}: the winner is named", dom.by_id("runs")[2])
        shown = dom.by_class("tried")
        ok([e[2].split("\u00d7")[0][:3] for e in shown] == ["one", "two", "thr", "fou"], f"{name}: a row a candidate", shown)
        ok(HOSTILE in shown[2][2] and len(dom.by_class("winner")) == 4, f"{name}: reasons, and the winner in each plot", shown)
        ok(sum(e[0] == "svg" for e in dom.elements) == 3 and sum(e[0] == "circle" for e in dom.elements) == 9,
           f"{name}: three plots of the complete candidates")
        ok(len(dom.by_class("front")) == 4, f"{name}: the Pareto front", dom.by_class("front"))
        ok(("dollars per 1M tokens" in dom.by_id("runs")[2]) == (price is not None), f"{name}: the cost, or the throughput")
    # All on the front, and none apart from the others by more than a name is wide.
    crowd = [candidate(f"candidate_{i}", i, ppl_delta=-0.03 + i / 50, throughput_tps=5000.0 + i % 3, latency_ms=0.004) for i in range(9)]
    far = candidate("far", 9, ppl_delta=3.0, throughput_tps=90000.0, latency_ms=0.9)
    data[3][job["job_id"]] = {**result, "winner": crowd[4], "pareto_front": [c["codec"] for c in crowd], "all_candidates": crowd + [far]}
    path.write_text(page.replace(text, json.dumps(data).replace("<", "\\u003c")))
    dom = browser.dom(path)
    plots = []
    for tag, attributes, name in dom.elements:
        if tag == "svg":
            plots.append([])
        elif attributes.get("class") == "label":
            plots[-1].append((float(attributes["x"]), float(attributes["y"]), 5 * len(name)))
    pairs = [(a, b) for labels in plots for i, a in enumerate(labels) for b in labels[:i]]
    ok(pairs and all(abs(a[1] - b[1]) >= 9 or a[0] >= b[0] + b[2] or b[0] >= a[0] + a[2] for a, b in pairs),
       "names in a plot do not overlap", plots)
    ok("e+" not in dom.by_id("runs")[2] and "-0.0 %" not in dom.by_id("runs")[2] and "0.0040" in dom.by_id("runs")[2],
       "large and small numbers are legible", dom.by_id("runs")[2])


def main():
    if not BROWSER:
        skip_all("no Chromium is installed")
    where = Directory()
    where.fill()
    where.job("estimate", "tuned-3 base=base")
    where.job("verify", "lost")
    where.job("restore", "tuned-2")
    browser = Browser(where)
    page = where.document("dashboard.html")
    path = where.root / "dashboard.html"
    path.write_text(page.replace("</body>", PROBE))
    status, models, jobs, runs = data_of(page)[1]
    ok(runs == {}, "no search has a result", runs)
    now = where.json("status.json")
    ok({k: v for k, v in status.items() if k != "time"} == {k: v for k, v in now.items() if k != "time"},
       "the data in the page is status.json")
    ok(models == where.json("models.json") and jobs == where.json("jobs.json"), "and models.json, and the jobs")
    dom = browser.dom(path)
    check_numbers(dom, now, "rendered from the document")
    check_lists(dom, status, models["models"], jobs["jobs"])
    check_safety(page, dom)
    check_looks(browser, path, dom, os.environ.get("TP_SCREENSHOTS"))
    check_search(where, browser, page, jobs)
    check_running(where, browser)
    check_mount(where, browser)
    check_many(where, browser)
    done()


main()
