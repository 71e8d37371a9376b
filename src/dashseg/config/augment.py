"""The recipe's section `augment`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from dashseg.config.section import Probability, Range, Section, Size

Sigma = Annotated[float, Field(le=15)]
Quality = Annotated[float, Field(ge=1, le=100)]
Waves = Annotated[int, Field(ge=1, le=32)]  # per frame; references are read at 256x256


def _check_ascending(section: Section, *names: str, least: float = 0) -> None:
    """Raise ValueError for a range that runs backwards, or starts at or below `least`."""
    for name in names:
        low, high = getattr(section, name)
        if not least < low <= high:
            raise ValueError(f"{name}: [{low:g}, {high:g}] is not an ascending positive range")


class NightConfig(Section):
    """Turns day frames into dusk and night; the label says where road, vehicles and lamps are."""

    share: Probability = 0.0
    """Share of the frames that become night."""

    darkness: tuple[Probability, Probability] = (0.2, 1.0)
    """Range of how dark it is. 0: the sun has just set; 1: night."""

    exposure: Range = (0.6, 1.6)
    """Range of a factor on the brightness, uniform in log. Night frames of comma10k differ by as
    much."""

    headlights: Range = (0.6, 1.3)
    """Range of the light that the car's own headlights throw on the road; 1 is daylight."""

    street_lamps: Probability = 0.5
    """Share of the night frames that have street lamps."""

    vehicle_lamps: Probability = 0.8
    """Share of the vehicles that have their lamps on; the others are parked."""

    noise: Range = (0.006, 0.02)
    """Range of the noise's standard deviation, of pixels in 0-1."""

    @model_validator(mode="after")
    def _ranges_ascend(self) -> NightConfig:
        _check_ascending(self, "exposure", "headlights", "noise")
        _check_ascending(self, "darkness", least=-1)
        return self


class RainConfig(Section):
    """Adds a wet, reflecting road, grey air and drops on the windscreen."""

    share: Probability = 0.0
    """Share of the frames; rain and fog together at most 1."""

    wetness: tuple[Probability, Probability] = (0.4, 1.0)
    """Range of how wet the road is. 1: standing water."""

    visibility: Range = (250.0, 1500.0)
    """Range in metres, uniform in log."""

    drops: int = Field(default=60, ge=0, le=500)
    """Largest number of drops on the windscreen."""

    @model_validator(mode="after")
    def _ranges_ascend(self) -> RainConfig:
        _check_ascending(self, "wetness", "visibility")
        return self


class FogConfig(Section):
    """Fades contrast with distance, which is estimated from the road's perspective."""

    share: Probability = 0.0
    """Share of the frames; rain and fog together at most 1."""

    visibility: Range = (40.0, 300.0)
    """Range in metres, uniform in log. 40: dense fog; 300: mist."""

    @model_validator(mode="after")
    def _ranges_ascend(self) -> FogConfig:
        _check_ascending(self, "visibility")
        return self


class DistortConfig(Section):
    """Bends frames in one of three ways: elastic, grid or optical. Strength 0 leaves a way out."""

    share: Probability = 0.0
    """Share of the frames that are bent."""

    elastic: float = Field(default=0.03, ge=0, le=0.1)
    """Largest shift of a smooth random field, as a share of the frame's height. Above 0.1 the image
    would fold."""

    grid: float = Field(default=0.3, ge=0, le=0.9)
    """Strips of the frame are stretched by a factor from 1 - this to 1 + this."""

    optical: float = Field(default=0.1, ge=0, le=0.3)
    """Barrel and pincushion distortion: corners move by up to this share of their distance from the
    centre."""


class DropoutConfig(Section):
    """Hides rectangles of frames behind the mean colour; the loss ignores their pixels."""

    share: Probability = 0.0
    """Share of the frames that get holes."""

    holes: int = Field(default=8, ge=1, le=1000)
    """Largest number of rectangles in a frame. 1000 of the default size hide all of it."""

    size: tuple[Probability, Probability] = (0.03, 0.12)
    """Range of a rectangle's sides, as a share of the crop's."""

    @model_validator(mode="after")
    def _ranges_ascend(self) -> DropoutConfig:
        _check_ascending(self, "size")
        return self


class StyleConfig(Section):
    """Gives frames the look of other frames, which need no labels: of other cameras, places and
    times of day. For drawn scenes above all."""

    share: Probability = 0.0
    """Share of the frames that take the look of a reference."""

    frames: tuple[Path, ...] = ()
    """Folders of reference images, at any depth; at most 300 are read, evenly from all folders."""

    colour: Probability = 0.5
    """Share of these frames that take the mean and deviation of brightness and colours. The others
    take the amplitudes of low frequencies (Fourier domain adaptation)."""

    waves: tuple[Waves, Waves] = (1, 6)
    """Range of the highest frequency whose amplitude is taken, in waves per frame."""

    strength: tuple[Probability, Probability] = (0.3, 1.0)
    """Range of how far frames go towards the reference. 1: all the way."""

    @model_validator(mode="after")
    def _has_frames(self) -> StyleConfig:
        _check_ascending(self, "waves")
        _check_ascending(self, "strength", least=-1)
        if self.share > 0 and not self.frames:
            raise ValueError("style.frames: name a folder of images, or set style.share to 0")
        if self.frames and "share" not in self.model_fields_set:
            raise ValueError("style.frames: set style.share too, the share of frames to change")
        return self


class PaintConfig(Section):
    """Fades lane markings towards the road beside them, as worn paint. The label stays."""

    share: Probability = 0.0
    """Share of the frames whose lane markings fade."""

    fade: tuple[Probability, Probability] = (0.3, 0.8)
    """Range of how much of the contrast to the road is lost. 1: all of it."""

    @model_validator(mode="after")
    def _ranges_ascend(self) -> PaintConfig:
        _check_ascending(self, "fade", least=-1)
        return self


class JpegConfig(Section):
    """Compresses frames as JPEG does, for cameras and videos that keep few bits a frame."""

    share: Probability = 0.0
    """Share of the frames that are compressed."""

    quality: tuple[Quality, Quality] = (20, 80)
    """Range of the quality, 1 to 100, by libjpeg's scale."""

    @model_validator(mode="after")
    def _ranges_ascend(self) -> JpegConfig:
        _check_ascending(self, "quality")
        return self


class AugmentConfig(Section):
    """Random changes to training frames. By default all are off."""

    crop: Size | None = None
    """[height, width] in pixels of a training sample. null: the input size."""

    flip: Probability = 0.0
    """Share of the frames mirrored left to right."""

    scale: Range = (1.0, 1.0)
    """Range of the factor that frames are resized by, uniform in log."""

    rotate: float = Field(default=0.0, ge=0, le=45)
    """Largest angle in degrees, in either direction."""

    distort: DistortConfig = DistortConfig()
    dropout: DropoutConfig = DropoutConfig()

    brightness: float = Field(default=0.0, ge=0, lt=1)
    """Pixels are multiplied by a factor from 1 - this to 1 + this."""

    contrast: float = Field(default=0.0, ge=0, lt=1)
    """The distance from the mean brightness is multiplied by a factor from 1 - this to 1 + this."""

    saturation: float = Field(default=0.0, ge=0, lt=1)
    """The distance from grey is multiplied by a factor from 1 - this to 1 + this."""

    hue: float = Field(default=0.0, ge=0, le=0.5)
    """Largest rotation of the hue in either direction; 0.5 is half a turn."""

    gamma: Range = (1.0, 1.0)
    """Range of the exponent on pixels in 0-1, uniform in log. Above 1 frames get darker."""

    noise: float = Field(default=0.0, ge=0, le=1)
    """Largest standard deviation of the noise, of pixels in 0-1."""

    blur: Probability = 0.0
    """Share of the frames blurred."""

    blur_sigma: tuple[Sigma, Sigma] = (0.3, 1.5)
    """Range of the blur's standard deviation in pixels. Above 15 its filter is wider than the
    smallest crop."""

    jpeg: JpegConfig = JpegConfig()

    bonnet: Probability = 0.0
    """Share of the frames without "my car" that get a bonnet from another frame of the batch. For
    data whose camera sees no bonnet."""

    paint: PaintConfig = PaintConfig()
    style: StyleConfig = StyleConfig()
    night: NightConfig = NightConfig()
    rain: RainConfig = RainConfig()
    fog: FogConfig = FogConfig()

    @model_validator(mode="after")
    def _rain_or_fog(self) -> AugmentConfig:
        if self.rain.share + self.fog.share > 1:
            raise ValueError("rain.share and fog.share: together more than 1")
        return self

    @model_validator(mode="after")
    def _ranges_ascend(self) -> AugmentConfig:
        _check_ascending(self, "scale", "gamma", "blur_sigma")
        return self
