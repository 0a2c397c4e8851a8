"""Writes sounds.csv and the folder sounds: a fifth of a second each of three made-up instruments.

    python configs/data/make_sounds.py

The sounds are computed: no instrument was recorded for them.
"""

import csv
import wave
from pathlib import Path

import numpy as np

RATE, SECONDS, COUNT = 8000, 0.2, 60
OVERTONES = {"flute": (1, 0.1), "clarinet": (1, 0, 0.6, 0, 0.4), "violin": (1, 0.7, 0.5, 0.4, 0.3)}
"""Strength of each harmonic of an instrument, from the fundamental frequency on."""


def main() -> None:
    random = np.random.default_rng(5)
    folder = Path(__file__).parent
    (folder / "sounds").mkdir(exist_ok=True)
    rows = []
    for number in range(COUNT):
        instrument = list(OVERTONES)[number % 3]
        pitch, loudness = 220 * 2 ** random.uniform(0, 1), random.uniform(0.3, 0.9)
        seconds = np.arange(round(RATE * SECONDS)) / RATE
        wave_form = sum(
            strength * np.sin(2 * np.pi * (pitch * times * seconds + random.random()))
            for times, strength in enumerate(OVERTONES[instrument], 1)
        )
        samples = loudness * wave_form / np.abs(wave_form).max() + random.normal(0, 0.02, len(seconds))
        with wave.open(str(folder / "sounds" / f"{number:02d}.wav"), "wb") as file:
            file.setparams((1, 1, RATE, 0, "NONE", ""))
            file.writeframes((127.5 + 127.5 * samples.clip(-1, 1)).round().astype(np.uint8).tobytes())
        rows.append([f"{number:02d}.wav", instrument, f"{pitch:.1f}"])
    with (folder / "sounds.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["clip", "instrument", "pitch"])
        writer.writerows(rows)


if __name__ == "__main__":
    main()
