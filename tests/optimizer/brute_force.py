#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Computes the choice of a search again from its report.json, by the definitions of doc/optimizer.md, and says what
differs. usage: brute_force.py REPORT.json..."""

import itertools
import json
import math
import sys

# key of the limit, key of the figure, whether the limit is the highest value
LIMITS = [("max_ppl_delta", "ppl_delta", True), ("max_latency_ms", "latency_ms", True),
          ("max_latency_p99_ms", "latency_p99_ms", True), ("min_throughput_tps", "throughput_tps", False),
          ("min_compression", "compression", False), ("max_memory", "memory_bytes", True),
          ("hardware_memory", "memory_bytes", True)]


def distance(candidate, key, figure, highest, limits):
    """0: met. The factor between figure and limit, less 1."""
    limit, value = limits.get(key), candidate[figure]
    if limit is None:
        return 0
    if value is None:
        return math.inf
    if value <= limit if highest else value >= limit:
        return 0
    if highest:
        return value / limit - 1 if limit > 0 else value - limit
    return limit / value - 1 if value > 0 else math.inf


def distances(candidate, limits, known_only=False):
    return {key: distance(candidate, key, figure, highest, limits) for key, figure, highest in LIMITS
            if not (known_only and candidate[figure] is None)}


def token_cost(candidate, priced):
    """In dollars, or without a price in seconds; None: not known."""
    if priced:
        return candidate["cost_per_1m_tokens"]
    return 1 / candidate["throughput_tps"] if candidate["throughput_tps"] else None


def find_winner(candidates, limits, priced):
    costs = [token_cost(c, priced) for c in candidates]
    able = [(math.inf if costs[i] is None else costs[i], c["pack_bytes"], i) for i, c in enumerate(candidates)
            if c["status"] == "complete" and not any(distances(c, limits).values())]
    return candidates[min(able)[2]]["codec"] if able else None


def find_nearest(candidates, limits):
    """The candidate, the binding limit and the distance."""
    for status in "complete", "dropped":
        able = []
        for i, c in enumerate(candidates):
            if c["status"] == status:
                found = distances(c, limits, status == "dropped")
                worst = max(found, key=found.get)
                if 0 < found[worst] < math.inf:
                    able.append((found[worst], i, worst))
        if able:
            worst, i, key = min(able)
            return candidates[i]["codec"], key, worst
    return None


def find_front(candidates, priced):
    able = {}
    for c in candidates:
        axes = (token_cost(c, priced), c["perplexity"], c["latency_ms"], c["pack_bytes"])
        if c["status"] == "complete" and None not in axes:
            able[c["codec"]] = axes
    return [name for name, a in able.items()
            if not any(b != a and all(y <= x for x, y in zip(a, b)) for b in able.values())]


# --- The model of the time of a step ---

def steps_of(candidates, kind, rates):
    """For each step its candidate, and its three terms as parts of the time."""
    return [(c["codec"], (s["bytes"] / rates["read_bandwidth"] / s["seconds"],
                          s["operations"] / rates["operations_rate"] / s["seconds"], 1 / s["seconds"]))
            for c in candidates for s in (row[kind] for row in c["steps"]) if s["seconds"]]


def solve(rows, terms):
    """Least squares of the rows' sums from 1, by the normal equations; None: not determined."""
    m = [[sum(x[r] * x[c] for x in rows) for c in terms] + [sum(x[r] for x in rows)] for r in terms]
    n = len(terms)
    for p in range(n):
        if m[p][p] <= 1e-6 * sum(x[terms[p]] ** 2 for x in rows):
            return None
        for r in range(n):
            if r != p:
                f = m[r][p] / m[p][p]
                m[r] = [a - f * b for a, b in zip(m[r], m[p])]
    k = [0.0, 0.0, 0.0]
    for p in range(n):
        k[terms[p]] = m[p][n] / m[p][p]
    return k if min(k) >= 0 else None


def squares(k, rows):
    return sum((sum(a * b for a, b in zip(k, x)) - 1) ** 2 for x in rows)


def fits(rows):
    """All least squares without a negative coefficient, the best first."""
    found = [solve(rows, terms) for n in (1, 2, 3) for terms in itertools.combinations(range(3), n)]
    return sorted((k for k in found if k), key=lambda k: squares(k, rows))


def check_fit(fit, steps, name):
    k = [fit["bytes_factor"], fit["operations_factor"], fit["constant_seconds"]]
    rows = [x for _, x in steps]
    if len(rows) != fit["steps"]:
        yield f"{name}: {fit['steps']} steps, not {len(rows)}"
    if not rows:
        return
    least = squares(fits(rows)[0], rows)
    if squares(k, rows) > 1.01 * least + 1e-6:
        yield f"{name}: squares {squares(k, rows)}, not {least}"
    errors = []
    for codec in dict(steps):
        others = [x for c, x in steps if c != codec]
        if others:
            # The terms cannot always be told apart: any fit that is as good may have been used.
            best = fits(others)
            best = [b for b in best if squares(b, others) <= 1.002 * squares(best[0], others) + 1e-9]
            errors += [[abs(squares([*b], [x]) ** 0.5) for b in best] for c, x in steps if c == codec]
    if len(errors) < 2:
        if fit["mean_error"] is not None:
            yield f"{name}: an error of one candidate"
        return
    low, high = (sum(map(end, errors)) / len(errors) for end in (min, max))
    if not low - 0.002 <= fit["mean_error"] <= high + 0.002:
        yield f"{name}: mean error {fit['mean_error']}, not {low} to {high}"


def check_estimates(report, candidates):
    hardware, roofline = report["hardware"], report["roofline"]
    for c in candidates:
        if not c["estimated"] or not c["steps"]:
            continue
        row = c["steps"][-1]
        for kind, key, fit in (("token", "latency_ms", "token"), ("prompt", "first_token_ms", "first_token")):
            k, s = roofline[fit], row[kind]
            want = 1000 * (k["bytes_factor"] * s["bytes"] / hardware["read_bandwidth"]
                           + k["operations_factor"] * s["operations"] / hardware["operations_rate"]
                           + k["constant_seconds"])
            if abs(c[key] - want) > 1e-4 * want:
                yield f"{c['codec']}: {key} {c[key]}, not {want}"
        if abs(c["throughput_tps"] - 1000 * row["batch"] / c["latency_ms"]) > 1e-4 * c["throughput_tps"]:
            yield f"{c['codec']}: throughput {c['throughput_tps']}"


# --- A report ---

def problems(report):
    candidates, limits, hardware = report["all_candidates"], report["limits"], report["hardware"]
    price = hardware["dollars_per_hour"]
    winner = find_winner(candidates, limits, bool(price))
    got = report["winner"] and report["winner"]["codec"]
    if got != winner:
        yield f"winner {got}, not {winner}"
    for c in candidates:
        if c["codec"] == winner and {k: c[k] for k in report["winner"]} != report["winner"]:
            yield "the figures of the winner are not those of the candidate"
        if (c["why"] is None) != (c["codec"] == winner):
            yield f"{c['codec']}: why '{c['why']}'"
        if price and c["throughput_tps"]:
            want = price / 3600 / c["throughput_tps"] * 1e6
            if c["cost_per_1m_tokens"] is None or abs(c["cost_per_1m_tokens"] - want) > 1e-5 * want:
                yield f"{c['codec']}: cost {c['cost_per_1m_tokens']}, not {want}"
        elif c["cost_per_1m_tokens"] is not None:
            yield f"{c['codec']}: a cost without a price"
        if c["estimated"] != (hardware["figures"] == "estimated") and c["status"] == "complete":
            yield f"{c['codec']}: estimated {c['estimated']}"
    nearest = None if winner else find_nearest(candidates, limits)
    got = report["binding"] and (report["binding"]["nearest"], report["binding"]["limit"])
    if got != (nearest and nearest[:2]):
        yield f"binding {got}, not {nearest}"
    elif nearest and abs(report["binding"]["distance"] - nearest[2]) > 1e-5 * max(1, nearest[2]):
        yield f"distance {report['binding']['distance']}, not {nearest[2]}"
    front = find_front(candidates, bool(price))
    if sorted(report["pareto_front"]) != sorted(front):
        yield f"front {report['pareto_front']}, not {front}"
    evaluated = sum(c["status"] != "pending" for c in candidates)
    if (report["candidates_evaluated"], report["candidates_total"]) != (evaluated, len(candidates)):
        yield f"{report['candidates_evaluated']} of {report['candidates_total']} candidates"
    if report["roofline"]:
        for kind, fit in (("token", "token"), ("prompt", "first_token")):
            yield from check_fit(report["roofline"][fit], steps_of(candidates, kind, report["roofline"]), fit)
        yield from check_estimates(report, candidates)


def main():
    wrong = 0
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as f:
            report = json.load(f)
        for problem in problems(report.get("result", report)):
            print(f"{path}: {problem}")
            wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
