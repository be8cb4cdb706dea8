"""Layered synthetic scenes with exact flow, painted in whole batches on any device.

A scene is a photographic background and up to three objects (photographs cut out by a
random outline, from compact to a few pixels thin, or real cut-outs). Every layer moves
by its own analytic field f(p) = affine + a few waves, so the flow of any point is known
exactly and the frame at any magnification factor can be painted: the point seen at x is
the p with p + alpha·f(p) = x. Magnitudes are drawn geometrically from a hundredth of a
pixel up, because that is what a magnifier meets; some scenes do not move at all.

Sensor noise, compression, brightness drift and blur are added to the painted frames,
each drawn independently for both where a camera would.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["LayeredScenes", "PaintedScenes", "Scene", "add_capture", "block_dct_noise", "straightened"]

OBJECTS = 3
WAVES = 3


@dataclass
class Layers:
    """Parameters of a batch of scenes; B scenes, L = 1 + OBJECTS layers, background first."""

    picture: Tensor  # (B, L, C, S, S) 0..1 textures
    opacity: Tensor  # (B, L, 1, S, S) texture opacity, 1 for photographs
    place: Tensor  # (B, L, 2, 3) scene px → texture px
    centre: Tensor  # (B, L, 2) px
    radius: Tensor  # (B, L, 2) px, half axes of the outline
    angle: Tensor  # (B, L)
    wobble: Tensor  # (B, L, 4, 2) amplitude, phase of the outline's harmonics
    edge: Tensor  # (B, L) px, softness of the outline
    present: Tensor  # (B, L) 0/1
    outlined: Tensor  # (B, L) 1 where the outline cuts the photograph, 0 for cut-outs and background
    affine: Tensor  # (B, L, 2, 3): displacement about the centre, px
    wave: Tensor  # (B, L, WAVES, 5): kx, ky, phase, amplitude x, amplitude y


@dataclass
class Scene:
    """A batch of painted pairs.

    reference, frame: (B, C, H, W) in 0..1; flow: (B, 2, H/2, W/2) in full-resolution px, on
    the reference's grid at half resolution; speed: (B,) px, the scale of the scene's motion.
    """

    reference: Tensor
    frame: Tensor
    flow: Tensor
    speed: Tensor
    layers: Layers = field(repr=False)


def _log_uniform(low: float, high: float, shape: tuple[int, ...], g: torch.Generator, device: torch.device) -> Tensor:
    u = torch.rand(shape, generator=g, device=device)
    return torch.exp(math.log(low) + u * (math.log(high) - math.log(low)))


def straightened(at: Tensor) -> Tensor:
    """Where to look with torch's bicubic kernel so that what is seen is what lies at `at` (px).

    That kernel (Keys, a = −3/4) shifts a slope by up to a twentieth of a pixel, one way or the
    other with the position between two samples: looking at fraction t shows what lies at
    t³ − 3/2·t² + 3/2·t. Motion of a hundredth of a pixel painted with it would come out up to a
    third too slow or too fast. The inverse of that cubic is exact for slopes, and wrong by up
    to 3 % where a texture repeats every 16 pixels, by 12 % where every eight.
    """
    corner = torch.floor(at)
    s = torch.asinh((at - corner - 0.5) * 4).div_(3).sinh_()  # solves s³ + 3/4·s = t − 1/2
    return s.add_(corner).add_(0.5)


class LayeredScenes:
    """Paints batches of scenes.

    Args:
        tiles: (N, C, S, S) uint8 photographs; cutouts: (M, C+1, K, K) uint8, M may be 0.
        size: side of the painted frames, px.
        largest_alpha: up to which `magnified` must be exact; layers then deform the less, so that
            p → p + alpha·f(p) stays one to one.
        seed: of the generator; the same seed paints the same scenes on the same device.
        speeds: slowest and fastest motion, px; drawn geometrically between them.
        camera: share of the scenes whose background moves; the others' cameras stand still.
    """

    def __init__(
        self,
        tiles: Tensor,
        cutouts: Tensor,
        size: int,
        seed: int,
        largest_alpha: float = 1.0,
        speeds: tuple[float, float] = (0.012, 12.0),
        camera: float = 0.5,
    ) -> None:
        self.slope = 0.1 / largest_alpha
        self.speeds, self.camera = speeds, camera
        self.tiles, self.cutouts, self.size = tiles, cutouts, size
        self.device = tiles.device
        self.g = torch.Generator(device=self.device).manual_seed(seed)

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.g, device=self.device)

    def _randn(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.g, device=self.device)

    def _index(self, high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=self.g, device=self.device)

    def draw(self, batch: int) -> tuple[Layers, Tensor]:
        """Random scenes: their layers and the scale of their motion (B,) in px."""
        b, count, size, device = batch, 1 + OBJECTS, self.size, self.device
        side = self.tiles.shape[-1]
        picture = self.tiles[self._index(len(self.tiles), b, count)].float() / 255
        opacity = torch.ones(b, count, 1, side, side, device=device)
        cut = (self._rand(b, count) < 0.35) & (len(self.cutouts) > 0)
        cut[:, 0] = False
        radius = _log_uniform(10, 0.45 * size, (b, count, 1), self.g, device).expand(b, count, 2).clone()
        thin = _log_uniform(1, 12, (b, count), self.g, device) * (self._rand(b, count) < 0.5) + 1e-9
        radius[..., 1] = (radius[..., 1] / thin.clamp_min(1)).clamp_min(1.5)
        # texture px per scene px: below 1 the picture is magnified and soft, as out of focus
        zoom = _log_uniform(0.5, 1.3, (b, count), self.g, device)
        if bool(cut.any()):
            which = self._index(len(self.cutouts), int(cut.sum()))
            small = self.cutouts[which].float() / 255
            pad = (side - small.shape[-1]) // 2
            small = F.pad(small, (pad,) * 4)
            picture[cut], opacity[cut] = small[:, :-1], small[:, -1:]
            zoom[cut] = (self.cutouts.shape[-1] * 0.5 / radius[..., 0][cut]).clamp(0.6, 3)
        turn = (self._rand(b, count) - 0.5) * 2 * math.pi * (self._rand(b, count) < 0.5)
        flip = torch.where(self._rand(b, count) < 0.5, -1.0, 1.0)
        cos, sin = turn.cos() * zoom, turn.sin() * zoom
        centre = self._rand(b, count, 2) * size
        centre[:, 0] = size / 2
        linear = torch.stack([torch.stack([cos * flip, -sin], -1), torch.stack([sin * flip, cos], -1)], -2)
        # the background and photographs look at a random part of their tile, cut-outs at their middle
        spare = (side / 2 - 0.5 * size * zoom).clamp_min(0) * (~cut)
        target = side / 2 + (self._rand(b, count, 2) - 0.5) * 2 * spare[..., None]
        shift = target - (linear @ centre[..., None])[..., 0]
        place = torch.cat([linear, shift[..., None]], -1)

        speed = _log_uniform(*self.speeds, (b,), self.g, device)
        speed = speed * (self._rand(b) > 0.12)  # still scenes
        share = 0.3 + 0.7 * self._rand(b, count)
        share = share * (self._rand(b, count) > 0.25)
        share[:, 0] = (0.1 + 0.9 * self._rand(b)) * (self._rand(b) < self.camera)
        own = speed[:, None] * share  # (B, L) px
        heading = self._rand(b, count) * 2 * math.pi
        reach = radius.amax(-1).clamp_min(20)
        reach[:, 0] = 0.5 * size
        affine = self._randn(b, count, 2, 3) * 0.5 * (self._rand(b, count, 1, 1) < 0.5)
        affine[..., :2] = affine[..., :2] / reach[..., None, None]
        affine[..., 2] = torch.stack([heading.cos(), heading.sin()], -1)
        affine = affine * own[..., None, None]
        affine[..., :2] = affine[..., :2].clamp(-self.slope, self.slope)
        length = _log_uniform(24, 1.5 * size, (b, count, WAVES), self.g, device)
        bearing = self._rand(b, count, WAVES) * 2 * math.pi
        k = 2 * math.pi / length
        swing = self._randn(b, count, WAVES, 2) * own[..., None, None] * 0.5
        swing = swing * (self._rand(b, count, 1, 1) < 0.4)
        limit = self.slope / k[..., None]  # keeps p → p + f(p) one to one
        swing = torch.maximum(torch.minimum(swing, limit), -limit)
        phase = self._rand(b, count, WAVES) * 2 * math.pi
        wave = torch.stack([k * bearing.cos(), k * bearing.sin(), phase, swing[..., 0], swing[..., 1]], -1)
        present = (self._rand(b, count) < 0.7).float()
        present[:, 0] = 1
        outlined = (~cut).float()
        outlined[:, 0] = 0
        wobble = torch.stack([self._randn(b, count, 4) * 0.10, self._rand(b, count, 4) * 2 * math.pi], -1)
        edge = _log_uniform(0.35, 1.5, (b, count), self.g, device)
        edge = torch.where(self._rand(b, count) < 0.08, edge * 4, edge)
        angle = self._rand(b, count) * 2 * math.pi
        layers = Layers(picture, opacity, place, centre, radius, angle, wobble, edge, present, outlined, affine, wave)
        return layers, speed

    def _points(self, stride: int) -> tuple[Tensor, Tensor]:
        """Centres of stride × stride blocks of pixels: x and y (1, 1, n, n), px."""
        at = torch.arange(0, self.size, stride, device=self.device, dtype=torch.float32) + (stride - 1) / 2
        y, x = torch.meshgrid(at, at, indexing="ij")
        return x[None, None], y[None, None]

    # Below, x and y travel as separate planes (B, L, h, w): arithmetic on a trailing axis of
    # two is several times slower on a CPU.

    @staticmethod
    def displacement(layers: Layers, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """f of every layer at scene points: its x and y components (B, L, h, w), px."""
        cx, cy = layers.centre[:, :, None, None].unbind(-1)
        dx, dy = x - cx, y - cy
        xx, xy, x0, yx, yy, y0 = layers.affine.flatten(2)[:, :, None, None].unbind(-1)
        u, v = xx * dx + xy * dy + x0, yx * dx + yy * dy + y0
        for n in range(WAVES):
            kx, ky, phase, ax, ay = layers.wave[:, :, n, None, None].unbind(-1)
            s = torch.sin(kx * dx + ky * dy + phase)
            u, v = u + ax * s, v + ay * s
        return u, v

    @staticmethod
    def outline(layers: Layers, x: Tensor, y: Tensor) -> Tensor:
        """Opacity that the random outline gives at scene points: (B, L, h, w)."""
        cx, cy = layers.centre[:, :, None, None].unbind(-1)
        dx, dy = x - cx, y - cy
        cos, sin = layers.angle.cos()[:, :, None, None], layers.angle.sin()[:, :, None, None]
        along, across = dx * cos + dy * sin, dy * cos - dx * sin
        rx, ry = layers.radius[..., 0, None, None], layers.radius[..., 1, None, None]
        ex, ey = along / rx, across / ry
        theta = torch.atan2(ey, ex)
        rim = 1.0
        for k in range(4):
            amplitude, phase = layers.wobble[:, :, k, None, None].unbind(-1)
            rim = rim + amplitude * torch.sin((k + 2) * theta + phase)
        rho = torch.sqrt(ex * ex + ey * ey + 1e-6)
        distance = (rim - rho) * torch.sqrt(dx * dx + dy * dy + 1e-3) / rho  # px, along the ray from the centre
        inside = torch.sigmoid(distance * 1.8 / layers.edge[..., None, None])
        outlined = layers.outlined[:, :, None, None]
        return inside * outlined + (1 - outlined)

    def _sample(self, layers: Layers, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Colour (B, L, C, h, w) and opacity (B, L, 1, h, w) at scene points (B, L, h, w)."""
        b, count, channels, side, _ = layers.picture.shape
        xx, xy, x0, yx, yy, y0 = layers.place.flatten(2)[:, :, None, None].unbind(-1)
        at = torch.stack([straightened(xx * x + xy * y + x0), straightened(yx * x + yy * y + y0)], -1)
        at = at.mul_(2 / side).add_(1 / side - 1)
        source = torch.cat([layers.picture, layers.opacity], 2).flatten(0, 1)
        # reflected, so that a background never runs out; a cut-out's rim is transparent anyway
        out = F.grid_sample(source, at.flatten(0, 1), mode="bicubic", padding_mode="reflection", align_corners=False)
        out = out.view(b, count, channels + 1, *out.shape[-2:]).clamp_(0, 1)
        alpha = out[:, :, channels:] * self.outline(layers, x, y)[:, :, None]
        return out[:, :, :channels], alpha * layers.present[:, :, None, None, None]

    def paint(self, layers: Layers, alpha: float | Tensor) -> Tensor:
        """The clean frame at magnification factor alpha (0 paints the reference): (B, C, H, W)."""
        x0, y0 = self._points(1)
        amount = torch.as_tensor(alpha, device=self.device, dtype=torch.float32).reshape(-1, 1, 1, 1)
        x, y = x0, y0
        for _ in range(3 if bool((amount != 0).any()) else 0):
            u, v = self.displacement(layers, x, y)  # p ← x − alpha·f(p): contracts while alpha·|∇f| < 1
            x, y = x0 - amount * u, y0 - amount * v
        shape = (*layers.present.shape, *x.shape[2:])
        colour, opacity = self._sample(layers, x.expand(shape), y.expand(shape))
        frame = colour[:, 0]
        for n in range(1, colour.shape[1]):
            frame = frame + opacity[:, n] * (colour[:, n] - frame)
        return frame

    def flow(self, layers: Layers) -> Tensor:
        """Flow of the topmost layer at half resolution: (B, 2, H/2, W/2), full-resolution px."""
        x, y = self._points(2)
        f = torch.stack(self.displacement(layers, x, y), 2)  # (B, L, 2, h, w)
        shape = (*layers.present.shape, *x.shape[2:])
        _, opacity = self._sample(layers, x.expand(shape), y.expand(shape))
        out = f[:, 0]
        for n in range(1, f.shape[1]):
            out = torch.where(opacity[:, n] > 0.5, f[:, n], out)
        return out

    def __call__(self, batch: int) -> Scene:
        """Paint a batch of clean pairs; `augment` turns, flips and films them."""
        layers, speed = self.draw(batch)
        return Scene(self.paint(layers, 0.0), self.paint(layers, 1.0), self.flow(layers), speed, layers)

    def magnified(self, scene: Scene, alpha: Tensor) -> Tensor:
        """The exact clean frame at magnification factor alpha (B,), at most `largest_alpha`: (B, C, H, W)."""
        return self.paint(scene.layers, alpha)

    def augment(self, scene: Scene) -> tuple[Tensor, Tensor, Tensor]:
        """One of the square's symmetries, then a camera: reference, frame, flow.

        Painting costs more than training on the result, so every painted batch is used
        several times, each time turned and filmed anew.
        """
        reference, frame, flow = scene.reference, scene.frame, scene.flow
        kind = int(self._index(8, 1))
        if kind & 1:
            reference, frame, flow = reference.mT, frame.mT, flow.mT.flip(1)
        if kind & 2:
            reference, frame, flow = reference.flip(-1), frame.flip(-1), flow.flip(-1) * _sign(flow, 0)
        if kind & 4:
            reference, frame, flow = reference.flip(-2), frame.flip(-2), flow.flip(-2) * _sign(flow, 1)
        reference, frame = add_capture(reference, frame, self.g)
        return reference, frame, flow


class PaintedScenes:
    """Batches of scenes, each handed out several times: painting costs more than training on the result.

    Args:
        scenes: the painter; batch: scenes painted together; reuse: how often a batch is handed out.
    """

    def __init__(self, scenes: LayeredScenes, batch: int, reuse: int) -> None:
        self.scenes, self.batch, self.reuse = scenes, batch, reuse
        self._scene: Scene | None = None
        self._before = scenes.g.get_state()  # of the generator, before the scene at hand was painted
        self._uses = 0

    def __call__(self) -> Scene:
        if self._scene is None or self._uses >= self.reuse:
            self._before, self._uses = self.scenes.g.get_state(), 0
            with torch.no_grad():
                self._scene = self.scenes(self.batch)
        self._uses += 1
        return self._scene

    @property
    def at_hand(self) -> Scene | None:
        """What was handed out last, without another use of it; None before the first."""
        return self._scene

    def state(self) -> dict[str, Any]:
        """The generator's state before and after painting, and the uses so far: the scene itself is painted again."""
        return {"before": self._before, "now": self.scenes.g.get_state(), "uses": self._uses}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken."""
        self._before, self._uses, self._scene = state["before"].cpu(), state["uses"], None
        if self._uses:
            self.scenes.g.set_state(self._before)
            with torch.no_grad():
                self._scene = self.scenes(self.batch)
        self.scenes.g.set_state(state["now"].cpu())


def _sign(flow: Tensor, axis: int) -> Tensor:
    sign = flow.new_ones(1, 2, 1, 1)
    sign[:, axis] = -1
    return sign


def block_dct_noise(image: Tensor, step: Tensor) -> Tensor:
    """Quantise the 8×8 DCT of every block, as codecs do.

    Args:
        image: (B, C, H, W) in 0..1, sides multiples of 8; step: (B,) quantiser step in 0..1 units.
    """
    b, c, h, w = image.shape
    k = torch.arange(8, device=image.device, dtype=image.dtype)
    basis = torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / 16) * 0.5  # (frequency, sample)
    basis[0] = basis[0] / math.sqrt(2)
    blocks = image.reshape(b, c, h // 8, 8, w // 8, 8)
    spectrum = torch.einsum("uy,bciyjx,vx->bciujv", basis, blocks, basis)
    coarse = (1 + 0.4 * (k[:, None] + k[None])).view(1, 1, 1, 8, 1, 8) * step.view(b, 1, 1, 1, 1, 1)
    spectrum = (spectrum / coarse).round() * coarse
    return torch.einsum("uy,bciujv,vx->bciyjx", basis, spectrum, basis).reshape(b, c, h, w)


def add_capture(reference: Tensor, frame: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """What cameras and codecs do to a pair: exposure, blur, drift, noise, compression, 8 bits."""
    b, device = len(reference), reference.device

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=g, device=device)

    def column(x: Tensor) -> Tensor:
        return x.view(-1, 1, 1, 1)

    pair = torch.stack([reference, frame], 1)  # (B, 2, C, H, W)
    contrast, gamma = 0.4 + 0.7 * rand(b), torch.exp((rand(b) - 0.5) * 0.8)
    floor = rand(b) * (1 - contrast).clamp_min(0)
    pair = pair.clamp(0, 1) ** gamma.view(b, 1, 1, 1, 1) * contrast.view(b, 1, 1, 1, 1) + floor.view(b, 1, 1, 1, 1)
    if float(rand(1)) < 0.3:  # out of focus, the whole batch alike: one kernel, no loop
        sigma = 0.4 + 0.8 * float(rand(1))
        at = torch.arange(-3, 4, device=device, dtype=torch.float32)
        kernel = torch.exp(-0.5 * (at / sigma) ** 2)
        kernel = kernel / kernel.sum()
        flat = F.pad(pair.flatten(0, 2)[:, None], (3, 3, 3, 3), mode="replicate")
        flat = F.conv2d(F.conv2d(flat, kernel.view(1, 1, 1, 7)), kernel.view(1, 1, 7, 1))
        pair = flat.view_as(pair)
    reference, frame = pair.unbind(1)
    drifts = column((rand(b) < 0.3).float())
    frame = frame * (1 + drifts * column(rand(b) - 0.5) * 0.06) + drifts * column(rand(b) - 0.5) * 0.03
    shade = F.interpolate(rand(b, 1, 4, 4) - 0.5, size=frame.shape[-2:], mode="bicubic", align_corners=False)
    frame = frame * (1 + shade * column((rand(b) < 0.15).float()) * 0.06)
    sigma = torch.exp(math.log(0.1) + rand(b) * (math.log(4) - math.log(0.1))) / 255
    grain = column((rand(b) < 0.25).float())  # denoised or upscaled footage has blotchy noise
    out = []
    step = torch.exp(math.log(0.01) + rand(b) * (math.log(0.06) - math.log(0.01)))
    coded = column((rand(b) < 0.3).float())
    rounded = column((rand(b) < 0.85).float())
    for image in (reference, frame):
        fine = torch.randn(image.shape, generator=g, device=device)
        blotch = torch.randn((*image.shape[:2], image.shape[2] // 2, image.shape[3] // 2), generator=g, device=device)
        blotch = F.interpolate(blotch, scale_factor=2, mode="bilinear", align_corners=False) * 1.6
        image = image + column(sigma) * (fine * (1 - grain) + blotch * grain)
        image = image + coded * (block_dct_noise(image, step) - image)
        image = image + rounded * ((image * 255).round() / 255 - image)
        out.append(image.clamp(0, 1))
    return out[0], out[1]
