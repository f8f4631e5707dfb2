#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tenpak eval and generate on small models of several families with a trained tokenizer, against transformers: each
convention, a reference, generated tokens; by the command line, by the control file of a mount, over HTTP; and input
that is refused with one clear line."""

import json
import math
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

TOP = Path(os.environ.get("top_srcdir", Path(__file__).resolve().parents[2])).resolve()
sys.path.insert(0, str(TOP / "tests" / "loaders"))

from harness import BUILD, TENPAK, Store, done, ok, require  # noqa: E402

require("torch", "transformers", "tokenizers", "safetensors", "numpy", "jsonschema")

import jsonschema  # noqa: E402
import numpy as np  # noqa: E402
import tokenizers  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

transformers.logging.set_verbosity_error()
torch.set_num_threads(1)
os.environ["TENPAK_TEXT_DIR"] = str(TOP / "share" / "tenpak" / "text")
TEXT = (TOP / "share" / "tenpak" / "text" / "evaluation.txt").read_text()
CHINESE = "\n".join("天地玄黄,宇宙洪荒。日月盈昃,辰宿列张。寒来暑往,秋收冬藏。" + str(i) for i in range(40))
VOCAB = 600
SMALL = {"vocab_size": VOCAB, "hidden_size": 64, "intermediate_size": 112, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
         "initializer_range": 0.15, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
MODELS = {
    "llama": ("Llama", SMALL, torch.float32),
    "qwen2": ("Qwen2", {**SMALL, "tie_word_embeddings": True}, torch.bfloat16),
    "gemma2": ("Gemma2", {**SMALL, "head_dim": 16, "sliding_window": 24, "final_logit_softcapping": 20.0},
               torch.float32),
    "gpt2": ("GPT2", {"vocab_size": VOCAB, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128,
                      "initializer_range": 0.15, "bos_token_id": 0, "eos_token_id": 1}, torch.float32),
    "neox": ("GPTNeoX", {k: v for k, v in SMALL.items() if k != "num_key_value_heads"}, torch.float16),
}
SCHEMA = json.loads((TOP / "share" / "tenpak" / "schema" / "report.json").read_text())


# --- Models ---

def train_tokenizer():
    """Byte-level BPE that puts <s> before a text."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=["<s>", "</s>"], show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([TEXT[:60000], CHINESE[:200]], trainer)
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def make_models(root, tokenizer):
    for number, (name, (kind, values, dtype)) in enumerate(MODELS.items()):
        torch.manual_seed(number)
        config = getattr(transformers, kind + "Config")(**values)
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").to(dtype)
        model.save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
    near = AutoModelForCausalLM.from_pretrained(root / "llama", dtype=torch.float32)
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for p in near.parameters():
            p.add_(torch.randn(p.shape, generator=generator) * 0.01)
    near.save_pretrained(root / "near")
    tokenizer.save_pretrained(root / "near")


# --- What transformers computes ---

def log_probs(model, ids):
    with torch.no_grad():
        return torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), dim=-1)


def places(tokens, context, stride, convention):
    """Begin, length and first scored token of each window, as the conventions have them."""
    if convention == "hf-stride":
        begin = reached = 0
        while True:
            end = min(begin + context, tokens)
            yield begin, end - begin, max(1, context - (end - reached) if begin and end - begin == context
                                          else end - begin - (end - reached) if begin else 1)
            reached = end
            if end == tokens:
                return
            begin += stride
    for i in range(tokens // context):
        yield i * context, context, context // 2 + 1 if convention == "llama.cpp" else 1


def scores(model, ids, context, stride, convention, bos=None, samples=None, other=None):
    """Log-likelihoods of the scored tokens; with OTHER the KL divergences from it, and equal choices."""
    found, divergences, same = [], [], []
    for begin, length, first in list(places(len(ids), context, stride, convention))[:samples]:
        window = list(ids[begin:begin + length])
        if bos is not None:
            window[0] = bos
        p = log_probs(model, window)
        at = torch.arange(first, length)
        found.append(p[at - 1, torch.tensor(window)[at]])
        if other:
            q = log_probs(other, window)
            divergences.append((q.exp() * (q - p)).sum(-1)[at - 1])
            same.append((q.argmax(-1) == p.argmax(-1))[at - 1].double())
    return [torch.cat(x).numpy() if x else None for x in (found, divergences, same)]


def near(got, want, part):
    return abs(got - want) <= part * abs(want)


# --- tenpak ---

def tenpak(*words, **more):
    return subprocess.run([str(TENPAK), *map(str, words)], capture_output=True, text=True, check=False, **more)


def evaluate(model, *words):
    run = tenpak("eval", "--json", model, *words)
    if run.returncode:
        ok(False, f"eval {model.name} {' '.join(map(str, words))}", run.stderr)
        return None
    return json.loads(run.stdout)


def check_perplexity(got, want, title, part=0.001):
    """Perplexity, its standard error and the number of tokens."""
    if got is None:
        return
    perplexity = math.exp(-want.mean())
    ok(near(got["perplexity"], perplexity, part), f"{title}: perplexity", f"{got['perplexity']}, want {perplexity}")
    ok(got["scored_tokens"] == len(want), f"{title}: scored tokens", f"{got['scored_tokens']}, want {len(want)}")
    error = perplexity * want.std(ddof=1) / math.sqrt(len(want))
    ok(near(got["perplexity_error"], error, 0.02), f"{title}: standard error", f"{got['perplexity_error']}, {error}")


def check_family(root, name, text, ids):
    path = root / name
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()
    got = evaluate(path, f"text={text}", "context=48", "samples=4")
    check_perplexity(got, scores(model, ids, 48, 48, "hf-window", samples=4)[0], f"{name}, hf-window")
    got = evaluate(path, f"text={text}", "context=48", "samples=4", "dtype=bf16")
    half = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16, attn_implementation="eager").eval()
    check_perplexity(got, scores(half, ids, 48, 48, "hf-window", samples=4)[0], f"{name}, bf16", 0.005)


def check_conventions(root, text, tokenizer):
    model = AutoModelForCausalLM.from_pretrained(root / "llama", dtype=torch.float32, attn_implementation="eager")
    model.eval()
    content = text.read_text()
    with_bos = tokenizer(content).input_ids
    without = tokenizer(content, add_special_tokens=False).input_ids
    short = text.with_name("short.txt")
    short.write_text(content[:900])
    ids = tokenizer(short.read_text()).input_ids
    ok(with_bos[0] == 0 and without[0] != 0, "the tokenizer adds <s>")
    got = evaluate(root / "llama", f"text={text}", "context=64", "samples=5")
    check_perplexity(got, scores(model, with_bos, 64, 64, "hf-window", samples=5)[0], "hf-window, bos at the start")
    ok(got["convention"] == "hf-window" and got["bos"] == "start" and got["windows"] == 5, "which the report says", got)
    got = evaluate(root / "llama", f"text={text}", "context=64", "samples=5", "add_bos=no")
    check_perplexity(got, scores(model, without, 64, 64, "hf-window", samples=5)[0], "hf-window, no bos")
    ok(got["bos"] == "none", "no bos is said", got["bos"])
    got = evaluate(root / "llama", f"text={short}", "context=64", "stride=24")
    check_perplexity(got, scores(model, ids, 64, 24, "hf-stride")[0], "hf-stride, to the end of the text")
    ok(got["scored_tokens"] == len(ids) - 1 and got["convention"] == "hf-stride", "each token once", got)
    got = evaluate(root / "llama", f"text={short}", "context=64", "convention=hf-stride")
    check_perplexity(got, scores(model, ids, 64, 32, "hf-stride")[0], "hf-stride by its name: half of the context")
    got = evaluate(root / "llama", f"text={text}", "context=64", "samples=5", "convention=llama.cpp")
    check_perplexity(got, scores(model, with_bos, 64, 64, "llama.cpp", bos=0, samples=5)[0], "llama.cpp, bos each")
    ok(got["scored_tokens"] == 5 * 31 and got["bos"] == "each window", "31 of 64", got["bos"])
    got = evaluate(root / "llama", f"text={text}", "context=64", "samples=5", "convention=llama.cpp", "add_bos=no")
    check_perplexity(got, scores(model, without, 64, 64, "llama.cpp", samples=5)[0], "llama.cpp, no bos")
    got = evaluate(root / "llama", f"text={short}", "context=64")
    check_perplexity(got, scores(model, ids, 64, 64, "hf-window")[0], "a rest is dropped")
    ok(got["dropped_tokens"] == len(ids) % 64, "and counted", got["dropped_tokens"])
    chinese = text.with_name("chinese.txt")
    chinese.write_text(CHINESE)
    ids = tokenizer(CHINESE).input_ids
    got = evaluate(root / "llama", f"text={chinese}", "context=64", "samples=4")
    check_perplexity(got, scores(model, ids, 64, 64, "hf-window", samples=4)[0], "a Chinese text")


def check_reference(root, text, tokenizer):
    ids = tokenizer(text.read_text()).input_ids
    near_model, model = (AutoModelForCausalLM.from_pretrained(root / n, dtype=torch.float32,
                                                              attn_implementation="eager").eval()
                         for n in ("near", "llama"))
    own, divergence, same = scores(near_model, ids, 64, 64, "hf-window", samples=6, other=model)
    other = scores(model, ids, 64, 64, "hf-window", samples=6)[0]
    got = evaluate(root / "near", "--reference=llama", f"text={text}", "context=64", "samples=6")
    check_perplexity(got, own, "with a reference")
    reference, difference = got["reference"], own - other
    for key, want in (("perplexity", math.exp(-other.mean())), ("perplexity_ratio", math.exp(-difference.mean())),
                      ("log_ratio_error", difference.std(ddof=1) / math.sqrt(len(own))),
                      ("kl_divergence", divergence.mean()), ("kl_divergence_p99", np.percentile(divergence, 99)),
                      ("kl_divergence_error", divergence.std(ddof=1) / math.sqrt(len(own))),
                      ("top1_agreement", same.mean())):
        ok(near(reference[key], want, 0.002), f"the reference: {key}", f"{reference[key]}, want {want}")
    got = evaluate(root / "llama", f"reference={root / 'llama'}", f"text={text}", "context=64", "samples=1", "threads=1")
    ok(got["reference"]["perplexity_ratio"] == 1 and abs(got["reference"]["kl_divergence"]) < 1e-9
       and got["reference"]["top1_agreement"] == 1, "a model against itself", got["reference"])


def check_streaming(root, text):
    """Less and less memory, until layers are read one at a time; and windows that do not fit."""
    whole = evaluate(root / "big", f"text={text}", "context=64", "samples=4")
    got = whole
    for memory in range(160, 63, -16):
        if not got or got["streamed"]:
            break
        got = evaluate(root / "big", f"text={text}", "context=64", "samples=4", f"memory={memory}M")
    ok(got and got["streamed"] and got["perplexity"] == whole["perplexity"], "a model larger than memory", got)
    refused("too little memory for a window", ("eval", root / "big", "context=100000", "memory=64M"), "100000", "needs",
            notes=1)  # the model was not made for so many positions
    refused("too little memory to generate", ("generate", root / "big", "memory=8M", "prompt=The"), "needs", "left")


# --- Generation ---

def check_generation(root, tokenizer):
    prompt = "The whole of the "
    for name in MODELS:
        model = AutoModelForCausalLM.from_pretrained(root / name, dtype=torch.float32, attn_implementation="eager")
        model.generation_config.eos_token_id = None
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        want = model.eval().generate(ids, max_new_tokens=24, do_sample=False)[0, ids.shape[1]:].tolist()
        run = tenpak("generate", "--json", "--ignore-eos", "--max-tokens=24", "--prompt", prompt, root / name)
        got = json.loads(run.stdout) if run.returncode == 0 else {"error": run.stderr}
        ok(got.get("tokens") == want, f"{name}: greedy tokens", f"{got}, want {want}")
        ok(got.get("finish_reason") == "length" and got.get("prompt_tokens") == ids.shape[1], f"{name}: why it ended")
    text = tokenizer.decode(want, skip_special_tokens=True)
    run = tenpak("generate", root / "neox", "ignore_eos=", "max_tokens=24")
    ok(run.returncode == 2, "an option without an argument is no KEY=VALUE", run.stderr)
    run = subprocess.run([TENPAK, "generate", "--ignore-eos", root / "neox", "max_tokens=24"], input=prompt.encode(),
                         capture_output=True, check=False)
    ok(run.stdout.decode() == text + "\n", "the text, of a prompt from standard input", f"{run.stdout!r}, want {text!r}")
    words = ("generate", "--json", "--ignore-eos", "-n", "16", "-p", prompt, root / "llama", "temperature=1.5", "top_k=40",
             "top_p=0.9")
    runs = [json.loads(tenpak(*words, f"seed={seed}").stdout)["tokens"] for seed in (5, 5, 6)]
    ok(runs[0] == runs[1] and runs[0] != runs[2], "a seed gives the same tokens again, another one others", runs)
    greedy = json.loads(tenpak("generate", "--json", "--ignore-eos", "-n", "16", "-p", prompt, root / "llama").stdout)
    top = json.loads(tenpak(*words[:-3], "temperature=2", "top_k=1").stdout)
    ok(top["tokens"] == greedy["tokens"], "top_k=1 is greedy", top["tokens"])
    ended = root.parent / "ended"
    shutil.copytree(root / "llama", ended)
    (ended / "generation_config.json").write_text(json.dumps({"eos_token_id": [599, greedy["tokens"][3]]}))
    run = json.loads(tenpak("generate", "--json", "-n", "16", "-p", prompt, ended).stdout)
    ok(run["tokens"] == greedy["tokens"][:greedy["tokens"].index(greedy["tokens"][3]) + 1]
       and run["finish_reason"] == "stop", "a token ends the text", run)
    check_continuation(ended, tokenizer)


def check_continuation(directory, tokenizer):
    """A decoder that strips a blank at the beginning of a text strips none between the prompt and the rest."""
    path = directory / "tokenizer.json"
    data = json.loads(path.read_text())
    data["decoder"] = {"type": "Sequence", "decoders": [
        data["decoder"], {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    path.write_text(json.dumps(data))
    for seed in range(100):
        run = json.loads(tenpak("generate", "--json", "--ignore-eos", "-n", "3", "-p", " The", directory, "temperature=3",
                                f"seed={seed}").stdout)
        text = tokenizer.decode(run["tokens"])
        if text.startswith(" "):
            break
    ok(text.startswith(" ") and run["text"] == text, "a continuation begins with its blank", (run, text))


# --- Refused ---

def refused(title, words, *has, code=1, notes=0):
    """NOTES: lines before that of the refusal."""
    run = tenpak(*words)
    lines = [line for line in run.stderr.splitlines() if not line.startswith(("try ", "hint: "))]
    ok(run.returncode == code and len(lines) == notes + 1 and all(h in lines[-1] for h in has), title,
       f"{run.returncode}: {run.stderr}")


def check_refused(root, text):
    place = root.parent / "bad"
    place.mkdir()
    files = {"empty": b"", "binary": b"abc\0def", "latin": b"caf\xe9 au lait", "few": b"a few words"}
    for name, content in files.items():
        (place / name).write_bytes(content)
    huge = place / "huge"
    huge.write_text(TEXT)
    with huge.open("ab") as f:
        f.truncate(1 << 30)
    os.mkfifo(place / "fifo")
    llama = root / "llama"
    refused("an empty text", ("eval", llama, f"text={place}/empty"), "empty")
    refused("a binary text", ("eval", llama, f"text={place}/binary"), "UTF-8", "byte 3")
    refused("a text in Latin-1", ("eval", llama, f"text={place}/latin"), "UTF-8")
    refused("a text that is shorter than the context", ("eval", llama, f"text={place}/few", "context=64"), "fewer")
    refused("a FIFO", ("eval", llama, f"text={place}/fifo"), "regular file")
    refused("a text that is not there", ("eval", llama, f"text={place}/none"), "none")
    refused("1 GB, which does not fit", ("eval", llama, f"text={huge}", "memory=256M"), "1.00 GiB", "samples")
    got = evaluate(llama, f"text={huge}", "context=64", "samples=3", "memory=256M")
    short = evaluate(llama, "context=64", "samples=3")
    ok(got and got["perplexity"] == short["perplexity"] and got["text"]["read_bytes"] < 1 << 20,
       "a few windows of 1 GB", got)
    refused("a context of one token", ("eval", llama, "context=1"), "context", code=2)
    refused("a stride above the context", ("eval", llama, "context=8", "stride=9"), "stride", code=2)
    refused("a stride of llama.cpp", ("eval", llama, "context=8", "stride=4", "convention=llama.cpp"), "overlap",
            code=2)
    refused("a key of jobs", ("eval", llama, "nice=3"), "--job", code=2)
    refused("a key that is not there", ("eval", llama, "speed=9"), "speed", code=2)
    refused("more positions than GPT-2 has", ("eval", root / "gpt2", "context=129"), "128 positions")
    refused("a longer prompt than GPT-2 has positions", ("generate", root / "gpt2", "prompt=" + 200 * "a b "),
            "128 positions")
    refused("an empty prompt without bos", ("generate", llama, "add_bos=no", "prompt="), "empty")
    broken = place / "broken"
    for title, change, words in (
            ("no tokenizer", lambda: (broken / "tokenizer.json").unlink(), ("has no tokenizer.json",)),
            *((f"a link {name}", lambda name=name: move_behind_link(broken / name), (f"{name}", "is a symbolic link"))
              for name in ("tokenizer.json", "config.json", "model.safetensors")),
            ("NaN weights", lambda: edit_weights(broken, float("nan")), ("finite", "damaged")),
            ("infinite weights", lambda: edit_weights(broken, float("inf")), ("finite",)),
            ("a smaller vocabulary than the tokenizer's", lambda: shrink_vocabulary(broken, 300), ("does not match",)),
            ("no config", lambda: (broken / "config.json").unlink(), ("config.json",)),
            ("another architecture", lambda: edit_config(broken, architectures=["MambaForCausalLM"],
                                                         model_type="mamba"), ("Mamba",)),
            ("an absurd config", lambda: edit_config(broken, num_hidden_layers=10**12), ())):
        shutil.copytree(llama, broken)
        change()
        refused(f"{title}: eval", ("eval", broken, f"text={text}", "context=64"), *words)
        refused(f"{title}: generate", ("generate", broken, "prompt=The whole of it"), *words[:1])
        shutil.rmtree(broken)
    shutil.copytree(llama, broken)
    (broken / "tokenizer.json").write_text("{")
    refused("a damaged tokenizer", ("eval", broken), "tokenizer.json", code=4)
    (broken / "tokenizer.json").write_bytes((llama / "tokenizer.json").read_bytes())
    shrink_vocabulary(broken, 590)
    refused("a reference with another vocabulary", ("eval", llama, f"--reference={broken}"), "600", "590")
    refused("a reference that is not there", ("eval", llama, "--reference=nobody"), "nobody")


def move_behind_link(path):
    target = path.parent.parent / f"other-{path.name}"
    path.rename(target)
    path.symlink_to(target)


def edit_config(path, **values):
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, **values}))


def edit_weights(path, value):
    tensors = load_file(path / "model.safetensors")
    name = next(n for n in sorted(tensors) if "down_proj" in n)
    tensors[name][0, 0] = value
    save_file(tensors, path / "model.safetensors", {"format": "pt"})


def shrink_vocabulary(path, rows):
    tensors = {n: t[:rows].clone() if t.shape[0] == VOCAB else t
               for n, t in load_file(path / "model.safetensors").items()}
    save_file(tensors, path / "model.safetensors", {"format": "pt"})
    edit_config(path, vocab_size=rows)


# --- Timing ---

def check_timing(root, text):
    got = evaluate(root / "llama", f"text={text}", "context=64", "samples=1", "timing=yes", "batch=3", "prompt_tokens=20",
                   "new_tokens=6")
    rows = got["timing"]["batches"]
    ok([r["batch"] for r in rows] == [1, 2, 3] and all(r["n_ttft"] == 3 and r["n_tpot"] == 15 for r in rows),
       "times of 1, 2 and 3 sequences", rows)
    ok(all(0 < r["median_tpot_ms"] <= r["p95_tpot_ms"] <= r["p99_tpot_ms"] and r["output_throughput"] > 0
           and r["prompt_tokens_per_second"] > 0 for r in rows), "percentiles are in order", rows)
    ok(got["machine"]["cpus"] >= 1 and len(got["machine"]["load_average"]) == 3 and got["peak_memory_bytes"] > 1 << 20,
       "the machine, its load, the memory", got["machine"])


# --- Jobs ---

def check_report(report, want, title):
    problems = [e.message for e in jsonschema.Draft202012Validator(SCHEMA).iter_errors(report)]
    ok(not problems, f"{title}: the report fits its schema", problems)
    result = report["result"]
    ok(result is not None and result["perplexity"] == want["perplexity"]
       and result["reference"]["kl_divergence"] == want["reference"]["kl_divergence"],
       f"{title}: the figures of the command line", report)


def check_jobs(store, text):
    want = evaluate(store.packs / "near.tnpk", "--reference=llama", f"text={text}", "context=64", "samples=4")
    control = store.mnt / ".tenpak"
    shutil.copy(text, store.packs / "notes.txt")
    (control / "evaluate").write_text("near reference=llama text=notes.txt context=64 samples=4\n")
    (control / "jobs" / "last" / "wait").read_text()
    check_report(json.loads((control / "jobs" / "last" / "report.json").read_text()), want, "the control file")
    run = tenpak("eval", "--job", "--json", store.packs, "near", "reference=llama", "text=notes.txt", "context=64",
                 "samples=4", "memory=1GiB")
    check_report(json.loads(run.stdout), want, "eval --job")
    (control / "evaluate").write_text("near text=nowhere.txt\n")
    state = json.loads((control / "jobs" / "last" / "wait").read_text())
    ok(state["status"] == "failed" and "nowhere.txt" in state["error"]["message"], "a job that fails says why", state)
    (control / "evaluate").write_text("big context=64 stride=1\n")
    job = os.readlink(control / "jobs" / "last")
    (control / "cancel").write_text(job)
    state = json.loads((control / "jobs" / job / "wait").read_text())
    ok(state["status"] == "cancelled", "a job can be cancelled", state)
    server = subprocess.Popen([TENPAK, "serve", "-q", "--listen", "127.0.0.1:0", store.packs], stdout=subprocess.PIPE,
                              text=True)
    url = server.stdout.readline().strip()
    token = Path(server.stdout.readline().split(": ", 1)[1].strip()).read_text().strip()

    def call(path, body=None):
        request = urllib.request.Request(url + path, json.dumps(body).encode() if body else None, {
            "Authorization": f"Bearer {token}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=240) as answer:
            return json.load(answer)

    reply = call("/evaluate", {"model": "near", "reference": "llama", "text": "notes.txt", "context": 64, "samples": 4})
    (control / "jobs" / reply["job_id"] / "wait").read_text()
    check_report(call(f"/report/{reply['job_id']}"), want, "HTTP")
    server.terminate()
    server.wait(240)


def main():
    store = Store()
    tokenizer = train_tokenizer()
    make_models(store.plain, tokenizer)
    torch.manual_seed(77)
    config = transformers.LlamaConfig(**{**SMALL, "hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 12})
    AutoModelForCausalLM.from_config(config).save_pretrained(store.plain / "big")
    tokenizer.save_pretrained(store.plain / "big")
    text = store.root / "text.txt"
    text.write_text(TEXT[:40000])
    tokenizer = AutoTokenizer.from_pretrained(store.plain / "llama")
    ids = tokenizer(text.read_text()).input_ids
    for name in MODELS:
        check_family(store.plain, name, text, ids)
    check_conventions(store.plain, text, tokenizer)
    check_reference(store.plain, text, tokenizer)
    check_generation(store.plain, tokenizer)
    check_timing(store.plain, text)
    check_refused(store.plain, text)
    check_streaming(store.plain, text)
    store.pack()
    store.mount()
    check_jobs(store, text)
    ok(store.unmount() == 0, "the mount ends")
    done()


if __name__ == "__main__":
    main()
