# SPDX-License-Identifier: MIT
"""Every call that pack and unpack make on files, one run each: the process killed in front of it, or
the call made to fail. Afterwards every model is whole, as directory or as pack, and a rerun finishes."""

import random
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from models import BUILD, fingerprint, hidden, make, need_preload, ok, done, run, scratch, skip, state  # noqa: E402

need_preload()
root = scratch()
origin = root / "origin"
make(origin / "base")
make(origin / "tune", changed=0.3)
WANT = {name: fingerprint(origin / name) for name in ("base", "tune")}
store = root / "store"
out = root / "out"
restored = root / "restored"
LOCK = ".tenpak-lock"  # of a process that died, until the next work on a model of the directory


def pack_all(*names):
    """The models as packs, made once and copied: a template for what begins with packs."""
    where = root / "packed"
    shutil.copytree(origin, where, symlinks=True)
    for name in names:
        code, said = run("pack", "-q", "-j1", where / name)
        if code:
            ok(False, f"packing {name} for the tests", said)
            done()
    return where


packed = pack_all("base", "tune")
ok((packed / "tune.tnpk").stat().st_size < 0.8 * (packed / "base.tnpk").stat().st_size,
   "the fine-tune's pack stands on its base")


class Scenario:
    """How a store begins, what is run, what is there when it has succeeded."""

    may_stay = ()

    def __init__(self, name, begin, args, end):
        self.name, self.begin, self.args, self.end = name, begin, args, end
        self.proven = set()  # states that are whole, and that a rerun finishes
        self.beginning = None  # the state that reset() makes
        self.fresh = False  # it is there already, as a run left it that failed or died before any change

    def reset(self):
        if self.fresh:
            self.fresh = False
            return
        for path in (store, out, restored):
            shutil.rmtree(path, ignore_errors=True)
        store.mkdir()
        out.mkdir()
        for entry in self.begin:
            source = origin / entry if (origin / entry).is_dir() else packed / entry
            if source.is_dir():
                shutil.copytree(source, store / entry, symlinks=True)
            else:
                shutil.copy2(source, store / entry)
        self.prepare()
        if self.beginning is None:
            self.beginning = state(store, out)

    def prepare(self):
        """More of a beginning than models."""

    def run(self, **fault):
        return run(*self.args, fault=dict(fault, dir=root) if fault else None)

    def names(self):
        return sorted({e.split(".")[0] for e in self.begin})


class Interrupted(Scenario):
    """Packing died while it removed the original: part of that is gone."""

    may_stay = (".removing", ".removing-files")

    def prepare(self):
        shutil.copytree(origin / "base", store / ".base.removing", symlinks=True)
        (store / ".base.removing" / "model.safetensors").unlink()


class Leftovers(Scenario):
    """Runs that were killed early left their temporary files and their locks."""

    def prepare(self):
        (store / ".base.tnpk.tmp-1-0").write_bytes(b"half a pack")
        (store / ".base.tenpak-lock").write_bytes(b"")
        (store / ".other.tenpak-lock").write_bytes(b"")


def complaint(scenario):
    """What is wrong with the store, whatever happened: None, or a sentence."""
    for name in scenario.names():
        plain, pack = fingerprint(store / name), store / f"{name}.tnpk"
        if plain is not None and plain != WANT[name]:
            return f"the directory {name} is there and not whole"
        if pack.exists():
            shutil.rmtree(restored, ignore_errors=True)
            code, said = run("unpack", "-q", "-j1", "-o", restored, pack)
            if code or fingerprint(restored) != WANT[name]:
                return f"the pack of {name} is there and not whole: {said}"
        elif plain is None:
            return f"{name} is gone"
    for pack in out.glob("*.tnpk"):
        code, said = run("verify", "-q", pack)
        if code:
            return f"{pack.name} is there and not whole: {said}"
    if (out / "dir").exists() and fingerprint(out / "dir") != WANT[scenario.names()[-1]]:
        return "the restored directory is there and not whole"
    return None


def listing():
    return sorted([e.name for e in store.iterdir()] + [f"out/{e.name}" for e in out.iterdir()])


def finish(scenario):
    """A rerun finishes the work, and leaves only what should be there."""
    def lasting():
        # Where there is nothing to do any more, temporary files stay for the next work on the model.
        return [e for e in listing() if not e.endswith(LOCK) and ".tmp-" not in e]

    already = scenario.end == lasting()
    code, said = scenario.run()
    # What writes beside (-o, --keep) refuses to overwrite what an earlier run did finish; and there is nothing
    # to unpack any more where the earlier run removed the pack.
    if code and not (already and ("exists" in said or "No such file" in said)):
        return f"the rerun fails ({code}): {said}"
    if (lasting() if already else listing()) != scenario.end:
        return f"after the rerun there is {listing()}"
    return complaint(scenario)


def left_behind(scenario):
    """Temporary files, which only a killed process may leave."""
    return [n for d in (store, out) for n in hidden(d) if not n.endswith((LOCK, *scenario.may_stay))]


def every_call(scenario, kind, expect, calls=None, tidy=True, **more):
    """Run with call 1, 2, 3... hit until a run is not; EXPECT judges exit code and output of each."""
    fault = dict(kind=kind, **more)
    if calls:
        fault["calls"] = calls
    wrong, number, log = [], 0, root / "calls"
    while True:
        number += 1
        log.unlink(missing_ok=True)
        scenario.reset()
        code, said = scenario.run(at=number, log=log, **fault)
        lines = log.read_text().splitlines() if log.exists() else []
        if len(lines) < number:
            break
        what = lines[number - 1].replace(str(root), "")
        problem = expect(code, said, what)
        if not problem and tidy and " unlink " not in what and left_behind(scenario):
            problem = f"left behind: {left_behind(scenario)}"
        met = state(store, out)
        scenario.fresh = not problem and met in scenario.proven and met == scenario.beginning
        if not problem and met not in scenario.proven:
            problem = complaint(scenario) or finish(scenario)
            if not problem:
                scenario.proven.add(met)
        if problem:
            wrong.append(f"call {what} (exit {code}): {problem}\n{said.strip()}")
    title = f"{scenario.name}: {kind}{' from there on' if 'sticky' in more else ''} at each of " \
            f"{number - 1} {calls or ''} calls".replace("  ", " ")
    ok(number > 1 and not wrong, title, "\n".join(wrong[:6]) + f"\n{len(wrong)} of {number - 1}")


def killed(code, said, what):
    return None if code == -9 else f"was not killed: {said}"


def unharmed(code, said, what):
    return None if code == 0 else "did not go on"


def told(code, said, what):
    """Fails with a message; only giving back a lock, sweeping, and looking for a base may be passed over."""
    if code == 0:
        call = what.split()[1]
        harmless = LOCK in what and (call == "unlink" or "is packed first" in said)
        # Leftovers of other processes are found by listing the directory of the model.
        sweeping = "/.base.tnpk.tmp-1-0" in what or "/.other" + LOCK in what or (
            call == "open" and what.endswith(("/store", "/out")))
        # What a base is found by, and what names one, may be passed over: hashes tell whether the base is the right one. A
        # base that is packed first looks for one of its own, and says what it could not read; a list of the models that
        # fails is taken again, and a directory that cannot be listed is no model.
        looking = call in ("open", "read") and (
            what.endswith("tune.tnpk")
            or ("tune: " in said and what.endswith(("base.tnpk", "/config.json")))
            or ("no base for base" in said and ("cannot " in said or what.endswith(("/store/.", "/store/tune")))))
        return None if harmless or sweeping or looking else "succeeds all the same"
    if code < 0 or not said.startswith("tenpak: ") and "\ntenpak: " not in said:
        return "no message"
    return None


def not_killed(code, said, what):
    return None if code >= 0 else "dies"


scenarios = [
    Scenario("pack", ["base"], ["pack", "-j1", "--base=none", store / "base"], ["base.tnpk"]),
    Scenario("pack against a plain base", ["base", "tune"], ["pack", "-j1", "--base=base", store / "tune"],
             ["base.tnpk", "tune.tnpk"]),
    Scenario("pack --keep", ["base"], ["pack", "-j1", "--base=none", "--keep", store / "base"],
             ["base", "base.tnpk"]),
    Scenario("pack -o", ["base"], ["pack", "-j1", "--base=none", "-o", out / "base.tnpk", store / "base"],
             ["base", "out/base.tnpk"]),
    Scenario("unpack", ["base.tnpk"], ["unpack", "-j1", store / "base.tnpk"], ["base"]),
    Scenario("unpack against a base", ["base.tnpk", "tune.tnpk"], ["unpack", "-j1", store / "tune.tnpk"],
             ["base.tnpk", "tune"]),
    Scenario("unpack -o", ["base.tnpk", "tune.tnpk"], ["unpack", "-j1", "-o", out / "dir", store / "tune.tnpk"],
             ["base.tnpk", "out/dir", "tune.tnpk"]),
    Scenario("pack, with directory and pack", ["base", "base.tnpk"],
             ["pack", "-j1", "--base=none", store / "base"], ["base.tnpk"]),
    Scenario("unpack, with directory and pack", ["base", "base.tnpk"], ["unpack", "-j1", store / "base.tnpk"],
             ["base"]),
    Interrupted("pack after a kill in removing", ["base.tnpk"],
                ["pack", "-j1", "--base=none", store / "base"], ["base.tnpk"]),
    Interrupted("unpack after a kill in removing", ["base.tnpk"], ["unpack", "-j1", store / "base.tnpk"],
                ["base"]),
    Leftovers("pack after an early kill", ["base"], ["pack", "-j1", "--base=none", store / "base"],
              ["base.tnpk"]),
]
only = sys.argv[1:]
for scenario in scenarios:
    if only and scenario.name not in only:
        continue
    every_call(scenario, "kill", killed, tidy=False)
    every_call(scenario, "EIO", told, tidy=not isinstance(scenario, Leftovers), calls="read,write,sync,rename,mkdir,unlink,open,chmod,utime,symlink,flock")
for scenario in scenarios[:2] + scenarios[5:6]:
    if only and scenario.name not in only:
        continue
    every_call(scenario, "ENOSPC", told, calls="write,mkdir,symlink,sync")
    every_call(scenario, "ENOSPC", not_killed, calls="write,mkdir,symlink", sticky=1)
    every_call(scenario, "EIO", not_killed, sticky=1, tidy=False)
    every_call(scenario, "EINTR", unharmed, calls="read,write")
    every_call(scenario, "short", unharmed, calls="read,write")
    every_call(scenario, "short", unharmed, calls="read,write", sticky=1)

# --- A pack of several writes, by a thread that does nothing else, past the page cache where there is a disk ------

LARGE = 9 << 20  # of which nothing can be saved: two writes while coding goes on, and one at the end
MADE = "open,write,seek,flags,hint,sync,rename,mkdir,unlink,chmod,flock"


def large(where):
    """What is above, in another directory."""
    global root, origin, store, out, restored
    root = scratch(where)
    origin, store, out, restored = (root / name for name in ("origin", "store", "out", "restored"))
    make(origin / "large", data=random.Random(3).randbytes(LARGE))
    WANT["large"] = fingerprint(origin / "large")
    pack = Scenario("pack of a large model" + (" on a disk" if where else ""), ["large"],
                    ["pack", "-j1", "--base=none", store / "large"], ["large.tnpk"])
    pack.reset()
    (root / "calls").unlink(missing_ok=True)
    pack.run(at=0, kind="none", log=root / "calls")
    calls = [line.split()[1] for line in (root / "calls").read_text().splitlines() if ".tmp-" in line]
    ok(calls.count("write") == 3, f"{pack.name}: in three writes", " ".join(calls))
    return pack, "flags" in calls


def writer(scenario, direct):
    every_call(scenario, "kill", killed, calls=MADE, tidy=False)
    every_call(scenario, "EIO", told, calls="open,write,seek,sync,rename,mkdir")
    # Where the page cache cannot be passed by it is used, and a hint is only that; what is written then is whole.
    every_call(scenario, "EIO", not_killed, calls="flags" if direct else "hint")
    every_call(scenario, "EINVAL", not_killed, calls="write")
    if direct:
        every_call(scenario, "EINVAL", not_killed, calls="write", sticky=1)
        scenario.reset()
        code, said = scenario.run(at=2, kind="EINVAL", calls="write", path=".tmp-")
        problem = unharmed(code, said, "") or complaint(scenario)
        ok(not problem, f"{scenario.name}: a write that is refused half way is made by the page cache", f"{problem}: {said}")
    every_call(scenario, "ENOSPC", told, calls="write,sync")
    every_call(scenario, "ENOSPC", not_killed, calls="write", sticky=1)
    every_call(scenario, "EINTR", unharmed, calls="write")
    every_call(scenario, "short", unharmed, calls="write")
    every_call(scenario, "short", unharmed, calls="write", sticky=1)


before = root, origin, store, out, restored
if not only or "large" in only:
    writer(*large(None))
    packed = pack_all("large")
    unpack = Scenario("unpack of a large model", ["large.tnpk"], ["unpack", "-j1", store / "large.tnpk"], ["large"])
    every_call(unpack, "kill", killed, calls="write,sync,rename", tidy=False)
    every_call(unpack, "ENOSPC", told, calls="write,sync")
    every_call(unpack, "short", unharmed, calls="write", sticky=1)
    on_disk, direct = large(BUILD)
    if direct:
        writer(on_disk, direct)
    else:
        skip(on_disk.name, "the file system of the build directory does not go past its page cache")
root, origin, store, out, restored = before
packed = root / "packed"

# --- Removing a base must know every pack that may need it -----------------------------------------------------

refused = Scenario("unpack of a base that is needed", ["base.tnpk", "tune.tnpk"],
                   ["unpack", "-j1", store / "base.tnpk"], ["base.tnpk", "tune.tnpk"])
problems, call = [], 0
while True:
    call += 1
    refused.reset()
    (root / "calls").unlink(missing_ok=True)
    code, said = refused.run(at=call, kind="EIO", log=root / "calls")
    if len((root / "calls").read_text().splitlines()) < call:
        break
    if code <= 0 or not (store / "base.tnpk").exists():
        problems.append(f"call {call}: exit {code}: {said}")
ok(call > 5 and not problems, f"{refused.name}: is refused, whichever of {call - 1} calls fails",
   "\n".join(problems))
done()
