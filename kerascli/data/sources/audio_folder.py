"""Source `audio_folder`: sounds in one subfolder for each class."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from kerascli.data.base import Context, Field, source
from kerascli.data.readers import Channels, OnCorrupt
from kerascli.data.sources.folders import FolderSource, file_names
from kerascli.data.storage.decoded_files import DecodedFiles, undamaged
from kerascli.data.storage.on_disk import Values
from kerascli.data.storage.sound_files import SoundReading
from kerascli.data.storage.table import FILE, Table
from kerascli.foundation.shapes import PositiveInt


@source()
class AudioFolder(FolderSource):
    """Sound files with one subfolder for each class, as Keras's audio_dataset_from_directory.

    Columns: `audio` (output_sequence_length, channels) float32 in [-1, 1] and `label`, an integer. PCM wave files are
    read by Python, others (flac, ogg, mp3, aiff) by soundfile. Shorter sounds are padded with zeros at the end.
    """

    suffixes = SoundReading.suffixes
    refused: ClassVar = {"ragged": "sounds have one length here: output_sequence_length"}

    output_sequence_length: PositiveInt
    """Length of the sounds, in samples; longer ones are truncated, shorter ones padded."""
    sampling_rate: PositiveInt | None = None
    """Sampling rate that sounds are resampled to, in samples per second; null: the samples of each file as they are."""
    channels: Channels = 1
    """Number of channels of the sounds; 1: the mean of all channels."""
    on_corrupt: OnCorrupt = "error"

    def reading(self) -> SoundReading:
        return SoundReading(self.sampling_rate, self.output_sequence_length, self.channels)

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"audio": Field(self.reading().shape, "float32"), **self.label(context)}

    def table(self, files: list[Path], columns: dict[str, Values], name: str) -> Table:
        sounds, damaged = DecodedFiles(files, self.reading()).read_once()
        rows = Table({FILE: file_names(files), **columns, "audio": sounds}, len(files), name=name)
        return undamaged(rows, damaged, skip=self.on_corrupt == "skip", noun="sound")
