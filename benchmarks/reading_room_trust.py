"""Can the reading room be trusted: are ten readers served, is an answer ever lost, can the arm be told?

    python benchmarks/reading_room_trust.py [--only ten,killed,attack]

Prints what it measures; needs the extra `readers`. The attacker gets everything that the browser receives.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import secrets
import signal
import tempfile
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from reading_room import Served, make_study, secrets_of
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from recontrast.io.nifti import read_volume
from recontrast.readers.answers import read_records
from recontrast.readers.blinding import LEVELS
from recontrast.readers.folder import read_plan


def ten_readers(folder: Path) -> None:
    """Ten readers at once, each with the pictures of his own items."""
    study = make_study(folder, 4, (96, 112, 96), 10)
    with Served(study) as server:

        def read(secret: str) -> list[tuple[int, float]]:
            told = []
            state = json.loads(server.ask(secret, "GET", "/api/state")[2])
            while state["phase"] == "reading":
                item = state["item"]["id"]
                start = time.perf_counter()
                status, _, _ = server.ask(secret, "GET", f"/api/items/{item}/images/0")
                told.append((status, time.perf_counter() - start))
                body = record(item)
                status, _, content = server.ask(secret, "POST", "/api/records", body)
                told.append((status, 0.0))
                state = json.loads(content)
            return told

        with ThreadPoolExecutor(10) as pool:
            results = [one for told in pool.map(read, secrets_of(study).values()) for one in told]
    bad = sum(status != 200 for status, _ in results)
    slow = [1000 * seconds for _, seconds in results if seconds]
    print(
        f"ten readers at once: {len(results)} requests, {bad} errors, "
        f"image 95th percentile {np.percentile(slow, 95):.0f} ms"
    )


def record(item: str, token: str = "") -> dict[str, object]:
    values = {"origin": 0, "confidence": 3}
    return {
        "token": token or secrets.token_hex(16),
        "item": item,
        "kind": "answer",
        "values": values,
        "milliseconds": 10,
    }


def killed(folder: Path, answers: int = 1000, kills: int = 10) -> None:
    """kill -9 again and again while answers come in; the page's way: the same token until it is acknowledged."""
    cases, readers = 50, answers // 100
    study = make_study(folder, cases, (8, 8, 8), readers)
    tokens = secrets_of(study)
    server = [Served(study)]
    port, acknowledged, lock, stop = server[0].port, [], threading.Lock(), threading.Event()

    def ask(secret: str, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        while True:
            try:
                status, _, content = server[0].ask(secret, method, path, body)
                if status < 500 and status != 429:
                    return status, content
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.02)

    def read(secret: str) -> None:
        state = json.loads(ask(secret, "GET", "/api/state")[1])
        while state["phase"] == "reading":
            body = record(state["item"]["id"])
            status, content = ask(secret, "POST", "/api/records", body)
            if status != 200:
                raise RuntimeError(content)
            with lock:
                acknowledged.append(body["token"])
            state = json.loads(content)

    def kill() -> None:
        for number in range(1, kills + 1):
            while len(acknowledged) < number * answers // (kills + 1) and not stop.is_set():
                time.sleep(0.002)
            os.kill(server[0].process.pid, signal.SIGKILL)
            server[0].process.wait(30)
            server[0] = Served(study, port)

    killer = threading.Thread(target=kill)
    killer.start()
    with ThreadPoolExecutor(readers) as pool:
        list(pool.map(read, tokens.values()))
    stop.set()
    killer.join()
    server[0].__exit__()
    stored = [r.token for r in read_records(study / "answers.sqlite") if r.kind == "answer"]
    items = [r.item for r in read_records(study / "answers.sqlite") if r.kind == "answer"]
    lost, doubled = len(set(acknowledged) - set(stored)), len(items) - len(set(items))
    print(
        f"kill -9, {kills} times during {len(acknowledged)} answers: "
        f"{len(stored)} stored, {lost} lost, {doubled} doubled"
    )


def attack(folder: Path, cases: int = 60) -> None:
    """Guess the arm from everything the browser receives; arms differ in file format and noise only."""
    study = make_study(folder, cases, (40, 44, 36), 2)
    plan, rows, answers, groups = read_plan(study), [], [], []
    with Served(study) as server:
        for reader, secret in secrets_of(study).items():
            for place, item in enumerate(plan.items[reader]):
                _, told, state = server.ask(secret, "GET", "/api/state")
                start = time.perf_counter()
                _, headers, content = server.ask(secret, "GET", f"/api/items/{item.id}/images/0")
                seconds = time.perf_counter() - start
                rows.append(traces(item.id, place, state, {**told, **headers}, content, seconds))
                answers.append(item.arms[0] == "synthetic")
                groups.append(item.case)
                server.ask(secret, "POST", "/api/records", record(item.id))
    print_attack("the browser's view", np.array(rows), np.array(answers), np.array(groups))
    plain, arms, whose = [], [], []
    for case in range(cases):
        for arm, name in enumerate(("acquired", "computed_synthetic")):
            path = folder / f"c{case:03d}_{name}.nii.gz"
            plain.append([path.stat().st_size, *picture(read_volume(path).data.astype(float).ravel())])
            arms.append(bool(arm))
            whose.append(case)
    print_attack("control: the files as they were", np.array(plain), np.array(arms), np.array(whose))


def traces(item: str, place: int, state: bytes, headers: dict[str, str], content: bytes, seconds: float) -> list[float]:
    """Everything that was received, as numbers."""
    levels = np.frombuffer(content, "<u2").astype(float)
    names = [place, len(state), len(content), seconds, len(headers), sum(map(len, headers.values()))]
    letters = [int(item[n : n + 4], 16) for n in range(0, 24, 4)]
    return [*names, *letters, *picture(levels)]


def picture(values: np.ndarray) -> list[float]:
    """Zeros, gaps, last bits, histogram, extremes, sizes after compression: what a format leaves in numbers."""
    inside = values[values > 0]
    top = np.percentile(inside, 99)
    histogram = np.histogram(inside, 32, (0, top))[0] / inside.size
    bits = [float(((inside.astype(np.int64) >> n) & 1).mean()) for n in range(6)]
    return [
        float((values == 0).mean()), float(np.unique(values).size), float(values.max() / top),
        float(inside.min() / top),
        float((values == values.max()).mean()), float((inside != np.rint(inside)).mean()),
        float(len(zlib.compress(values.astype(np.float32).tobytes(), 1))), float(np.abs(np.diff(values)).mean() / top),
        *bits, *histogram,
    ]  # fmt: skip


def print_attack(what: str, rows: np.ndarray, arms: np.ndarray, groups: np.ndarray) -> None:
    parts = []
    for name, model in (
        ("logistic", make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))),
        ("boosted trees", HistGradientBoostingClassifier(max_iter=60, random_state=0)),
    ):
        scores = cross_val_predict(model, rows, arms, groups=groups, cv=GroupKFold(5), method="predict_proba")[:, 1]
        drawn = np.random.default_rng(0)
        area = roc_auc_score(arms, scores)
        cases = np.unique(groups)
        resampled = []
        for _ in range(300):
            picked = np.concatenate([np.flatnonzero(groups == c) for c in drawn.choice(cases, len(cases))])
            resampled.append(roc_auc_score(arms[picked], scores[picked]))
        low, high = np.percentile(resampled, (2.5, 97.5))
        parts.append(f"{name} AUC {area:.2f} [{low:.2f}, {high:.2f}]")
    print(f"attacker with {what}, {rows.shape[1]} traces, {len(arms)} images: {', '.join(parts)}")


def main() -> None:
    """Run what is chosen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="ten,killed,attack")
    options = parser.parse_args()
    jobs = {"ten": ten_readers, "killed": killed, "attack": attack}
    for name in options.only.split(","):
        with tempfile.TemporaryDirectory() as folder:
            jobs[name](Path(folder))
    print(f"levels sent: {LEVELS}")


if __name__ == "__main__":
    main()
