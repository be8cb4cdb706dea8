"""`warp`: a small network that measures motion and leaves the picture alone.

The network sees the luma of the reference and of the frame and returns the flow
from the one to the other on the reference's grid. Magnifying that flow and moving
the frame's own pixels is plain arithmetic (`magfilter.render`), which is why the
network needs no magnification factor and `alpha` has no upper limit.

One cell is applied at every scale of an image pyramid, coarse to fine, with the
same weights. A cell

1. warps the frame by the flow found so far (backward warp, bilinear on a grid of half pixels: on the frame's own
   grid a small shift of fine texture falls short, and what is found then is up to a tenth too much),
2. solves for the rest of the motion by damped least squares (Lucas & Kanade 1981)
   in three window sizes: exact for small displacements, so the gain at a twentieth
   of a pixel is right by construction and need not be learned. The damping is that
   of noise, and gives way where the solution explains the difference,
3. lets a small U-Net choose, for every point, among these solutions, those of the
   neighbours, the flow of the coarser scale, and no motion at all. It chooses with
   softmax weights, so its answer scales with its candidates: what it learns is where
   to believe which, how to tell noise from motion, and where objects end. No motion
   must hold before the picture: what is said to rest, though the coarser flow explains
   it better, moves as the least squares say,
4. upsamples to twice the resolution by learned convex weights (as RAFT does), which
   keeps motion edges sharper than bilinear interpolation would.

Design: design.md §3. The paper's network is in `magfilter.networks.unet`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magfilter.networks.constants import (
    CELL,
    CHOICES,
    DERIVE,
    DOUBLINGS,
    DOUBT,
    FEATURES,
    HERE,
    QUANTUM,
    REACH,
    SMOOTH,
    SOLVES,
    VERDICTS,
)
from magfilter.networks.judge import Judge
from magfilter.networks.sampling import BETWEEN, COARSER, backward_warp, doubled, halved

__all__ = ["WarpNet"]


def _neighbours(field: Tensor, dilation: int = 1) -> Tensor:
    """The 3×3 neighbourhood of every point: (B, C, h, w) → (B, 9, C, h, w)."""
    padded = F.pad(field, (dilation,) * 4, mode="replicate")
    steps = [_from(k * dilation, 2 * dilation) for k in range(3)]
    return torch.stack([padded[..., down, along] for down in steps for along in steps], 1)


def _box(field: Tensor, size: int) -> Tensor:
    """Mean over a size × size window, smaller at the border; shape kept."""
    height, width = field.shape[-2:]
    across, down = field.new_ones(1, 1, 1, size), field.new_ones(1, 1, size, 1)
    points = F.conv2d(field.new_ones(1, 1, height, 1), down, padding=(size // 2, 0))
    points = points * F.conv2d(field.new_ones(1, 1, 1, width), across, padding=(0, size // 2))
    # Engines convolve groups of 8 channels several times as fast as they add up shifted copies of fewer.
    channels = field.shape[1]
    full = -(-channels // 8) * 8
    total = F.pad(field, (0, 0, 0, 0, 0, full - channels))
    total = F.conv2d(total, down.expand(full, 1, size, 1), padding=(size // 2, 0), groups=full)
    total = F.conv2d(total, across.expand(full, 1, 1, size), padding=(0, size // 2), groups=full)
    return total[:, :channels] / points


def _from(start: int, margin: int) -> slice:
    """The stretch at `start` of what is `margin` longer, told from its end: no size for an engine to compute."""
    return slice(start, start - margin or None)


def _rimmed(image: Tensor) -> Tensor:
    """With its border repeated, as far as the filters of 5 taps reach."""
    return F.pad(image, (2, 2, 2, 2), mode="replicate")


def _planes(field: Tensor) -> list[Tensor]:
    """The channels, each (B, 1, h, w)."""
    return [field[:, k : k + 1] for k in range(field.shape[1])]


def _softmax(votes: Tensor, dim: int) -> Tensor:
    """Softmax spelled out: ONNX Runtime's own transposes the whole tensor unless `dim` is the last."""
    shares = torch.exp(votes - votes.amax(dim, keepdim=True))
    return shares / shares.sum(dim, keepdim=True)


class MotionCell(nn.Module):
    """One scale of the estimate: images (B, 1, H, W), flow (B, 2, H/4, W/4) → (B, 2, H/2, W/2)."""

    slopes: Tensor
    passed: Tensor
    place: Tensor
    between: Tensor
    coarser: Tensor
    doubt: Tensor

    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self.judge = judge
        # Damping of the three solves, about what 2/255 of sensor noise leaves in a gradient.
        self.damping = nn.Parameter(torch.tensor([5e-5, 1e-5, 3e-4]).log())
        self.trust = nn.Parameter(torch.tensor([16.0, 16.0, 16.0]).log())
        prior = torch.full((CHOICES,), -3.0)
        prior[HERE] = 1.0  # A at the point itself
        prior[9 + 4] = 0.0  # B at the point itself
        prior[-2] = 0.0  # the coarser flow
        self.prior = nn.Parameter(prior)
        near = torch.full((4, 9), -2.0)
        near[:, 4] = 2.0
        self.near = nn.Parameter(near.reshape(36))
        smooth, derive = torch.tensor(SMOOTH), torch.tensor(DERIVE)
        # Every pixel of a cell is a channel: a filter for each of its 16 places, applied once a cell.
        slopes, passed = torch.zeros(2, CELL, CELL, 1, 8, 8), torch.zeros(1, CELL, CELL, 1, 8, 8)
        place = torch.zeros(2, CELL, CELL, 2, CELL, CELL)
        for y in range(CELL):
            for x in range(CELL):
                slopes[0, y, x, 0, y : y + 5, x : x + 5] = torch.outer(smooth, derive)  # d/dx
                slopes[1, y, x, 0, y : y + 5, x : x + 5] = torch.outer(derive, smooth)  # d/dy
                passed[0, y, x, 0, y : y + 5, x : x + 5] = torch.outer(smooth, smooth)  # low-passed
                place[0, y, x, 0, y, x] = place[1, y, x, 1, y, x] = 1
        self.register_buffer("slopes", slopes.reshape(2 * CELL**2, 1, 8, 8), persistent=False)
        self.register_buffer("passed", passed.reshape(CELL**2, 1, 8, 8), persistent=False)
        self.register_buffer("place", place.reshape(2 * CELL**2, 2, CELL, CELL), persistent=False)
        self.register_buffer("between", BETWEEN.clone(), persistent=False)
        self.register_buffer("coarser", COARSER.clone(), persistent=False)
        # By this name what compiles the cell knows files that have it from those before.
        self.register_buffer("doubt", torch.tensor([DOUBT]), persistent=False)

    def _solve(self, m: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Least squares on pooled products, damped by how much they look like noise, in all three windows.

        A fixed damping that keeps noise from becoming motion also shrinks true motion wherever there is
        little texture. So the damping falls as what the motion explains of the difference grows against
        what it leaves: noise is hardly explained by any motion, a real one leaves next to nothing.

        Args:
            m: (B, 3, 6, h, w): means of IxIx, IxIy, IyIy, IxIt, IyIt, ItIt in each window.

        Returns:
            flow u and v softly limited to REACH, trace and relative residual, each (B, 3, h, w).
        """
        xx, xy, yy, xt, yt, tt = (m[:, :, k] for k in range(6))
        xx, yy, tt = xx.clamp_min(0), yy.clamp_min(0), tt.clamp_min(0)
        damping, trust = self.damping.exp().view(1, 3, 1, 1), self.trust.exp().view(1, 3, 1, 1)
        now = damping
        for n in range(SOLVES):
            a, c = xx + now, yy + now
            det = (a * c - xy * xy).clamp_min(1e-16)
            u = (xy * yt - c * xt) / det
            v = (xy * xt - a * yt) / det
            size = u * u + v * v
            # tt + 2 (u xt + v yt) + u² xx + 2 u v xy + v² yy, of which the damped equations give the last three
            left = (tt + u * xt + v * yt - now * size).clamp_min(0)
            if n < SOLVES - 1:
                now = damping / (1 + trust * ((tt - left).clamp_min(0) / (left + 0.03 * QUANTUM)))
        within = torch.rsqrt(1 + size / REACH**2)
        return u * within, v * within, xx + yy, left / (tt + 0.1 * QUANTUM)

    def look(self, reference: Tensor, frame: Tensor, flow: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """What the judge looks at (B, FEATURES, h, w), and what there is to choose from."""
        height, width = reference.shape[-2:]
        full = F.interpolate(flow, size=(height, width), mode="bilinear", align_corners=False)
        warped = backward_warp(doubled(frame, self.between), full, finer=2)
        difference, still = warped - reference, frame - reference
        slopes = F.conv2d(_rimmed((reference + warped) * 0.5), self.slopes, stride=CELL)
        # From here on every pixel of a cell is a channel, and sums over a cell are sums over channels.
        ix, iy = slopes[:, : CELL**2], slopes[:, CELL**2 :]  # (B, 16, h, w)
        it = F.conv2d(_rimmed(difference), self.passed, stride=CELL)
        places = F.conv2d(torch.cat([reference, difference], 1), self.place, stride=CELL)
        shade, change = places[:, : CELL**2], places[:, CELL**2 :]
        products = (ix * ix, ix * iy, iy * iy, ix * it, iy * it, it * it)
        moments = torch.cat([product.mean(1, keepdim=True) for product in products], 1)
        means = torch.cat([plane.mean(1, keepdim=True) for plane in (ix, iy, it)], 1)
        # About the means of a wide window: a change of brightness is then no motion.
        wide = _box(_box(means, 5), 5)
        mx, my, mt = _planes(wide)
        gx, gy, gt = _planes(means)
        moments = moments - torch.cat(
            [
                mx * (2 * gx - mx),
                mx * gy + my * gx - mx * my,
                my * (2 * gy - my),
                mx * gt + mt * gx - mx * mt,
                my * gt + mt * gy - my * mt,
                mt * (2 * gt - mt),
            ],
            1,
        )
        windows = torch.stack([_box(moments, 3), _box(_box(moments, 5), 5), moments], 1)
        u, v, trace, left = self._solve(windows)
        a, b, c = (torch.cat([u[:, k : k + 1], v[:, k : k + 1]], 1) for k in range(3))

        explained = _box(torch.cat([F.avg_pool2d(e * e, CELL) for e in (difference, still)], 1), 3) + self.doubt
        rests = (explained[:, :1] / explained[:, 1:]).clamp(max=1)
        for _ in range(DOUBLINGS):
            rests = rests * rests

        energy = moments[:, 5:6].clamp_min(0)
        around = [shade.mean(1, keepdim=True), (shade * shade).mean(1, keepdim=True)]
        around += [(change * change).mean(1, keepdim=True), (b * b + a * a).sum(1, keepdim=True)]
        around += [(flow * flow).sum(1, keepdim=True)]
        mean, square, changed, quick, carried = _planes(_box(torch.cat(around, 1), 5))
        deviation = torch.sqrt((square - mean * mean).clamp_min(0) + 4 * QUANTUM)
        shade = (shade - mean) / deviation
        change = change * torch.rsqrt(changed + QUANTUM)
        speed, carried = torch.sqrt(quick + 1e-4), torch.sqrt(carried + 1e-4)  # px, floor 0.01
        log_energy = torch.log(energy + 0.1 * QUANTUM)
        features = torch.cat(
            [
                shade,
                change,
                a / speed,
                b / speed,
                c / speed,
                a,
                b,
                flow / carried,
                flow * 0.25,
                log_energy + 11,
                log_energy - log_energy.mean((2, 3), keepdim=True),
                torch.log(trace + 1e-7) + 9,
                left,
                torch.log(speed) + 2,
                torch.log(carried) + 2,
            ],
            1,
        )
        return features, (flow, a, b, c, speed, rests)

    def shares(self, verdict: Tensor) -> tuple[Tensor, Tensor]:
        """A verdict as shares of the candidates (B, CHOICES, h, w), and of neighbours (B, 4, 9, h, w)."""
        batch, _, h, w = verdict.shape
        # bounded, so that no choice is ever ruled out for good
        votes = 5 * torch.tanh(verdict[:, :CHOICES] * 0.2) + self.prior.view(1, -1, 1, 1)
        near = (verdict[:, CHOICES : CHOICES + 36] + self.near.view(1, -1, 1, 1)).view(batch, 4, 9, h, w)
        return _softmax(votes, 1), _softmax(near, 2)

    def choose(
        self, verdict: Tensor, flow: Tensor, a: Tensor, b: Tensor, c: Tensor, speed: Tensor, rests: Tensor
    ) -> Tensor:
        """The flow that the judge's verdict makes of the candidates, at twice their resolution.

        Args:
            rests: (B, 1, h, w), what is left of the share of no motion before the picture; solution A of the point
                itself takes the rest of it.
        """
        batch, _, h, w = flow.shape
        weights, near = self.shares(verdict)
        here = weights[:, HERE : HERE + 1] + weights[:, -1:] * (1 - rests)
        # Without the last choice, no motion, which adds nothing.
        weights = torch.cat([weights[:, :HERE], here, weights[:, HERE + 1 : -1]], 1)
        pool = torch.cat(
            [
                _neighbours(flow + a),
                _neighbours(flow + b, 2),
                (flow + c).unsqueeze(1),
                flow.unsqueeze(1),
            ],
            1,
        )  # (B, CHOICES - 1, 2, h, w)
        chosen = (pool * weights.unsqueeze(2)).sum(1)
        chosen = chosen + verdict[:, CHOICES + 36 :] * speed * 0.1
        around = _neighbours(chosen)  # (B, 9, 2, h, w)
        fine = (around.unsqueeze(1) * near.unsqueeze(3)).sum(2)  # (B, 4, 2, h, w)
        return F.pixel_shuffle(fine.transpose(1, 2).reshape(batch, 8, h, w), 2)  # (B, 2, 2h, 2w)


class WarpNet(nn.Module):
    """Flow from the reference to the frame, at half resolution.

    Args:
        widths: channels of the judging U-Net at its three resolutions.
        levels: scales of the pyramid; the coarsest image is 2^(levels-1) times smaller.
        judge: one of another shape, which takes the place of `widths`.

    Input: two lumas (B, 1, H, W), nominally 0..1, H and W multiples of `pad_multiple`.
    Output: flow (B, 2, H/2, W/2), in pixels of the input, x first: the point at p in the
    reference lies at p + flow in the frame.
    """

    def __init__(
        self, widths: tuple[int, int, int] = (32, 64, 96), levels: int = 5, judge: Judge | None = None
    ) -> None:
        super().__init__()
        self.levels = levels
        # Without the last feature, which the weights of this shape were trained before.
        self.cell = MotionCell(judge or Judge(FEATURES - 1, VERDICTS, widths))
        self.paces = {"cell.damping": 30.0, "cell.trust": 30.0}  # for the trainer: logarithms, see `trainer.loop`

    @classmethod
    def light(cls, width: int = 32) -> WarpNet:
        """One whose judge takes a third of the multiplications."""
        widths = (width, width * 3 // 2, 2 * width)
        return cls(judge=Judge(FEATURES, VERDICTS, widths, enter=(1,), deep=2, head=1))

    @classmethod
    def like(cls, weights: Mapping[str, Tensor]) -> WarpNet:
        """One that takes these weights, whatever the shape of its judge.

        Raises:
            ValueError: if they are of another network, or lack what tells the shape.
        """
        inside = "cell.judge."
        try:
            judge = Judge.like({k.removeprefix(inside): v for k, v in weights.items() if k.startswith(inside)})
        except KeyError as error:
            raise ValueError(f"Expected weights of a warp; {inside}{error.args[0]} is missing.") from None
        return cls(judge=judge)

    @property
    def pad_multiple(self) -> int:
        return CELL << (self.levels - 1)

    def forward(self, reference: Tensor, frame: Tensor) -> Tensor:
        return self.pyramid(reference, frame)[-1]

    def pyramid(
        self, reference: Tensor, frame: Tensor, verdicts: list[tuple[Tensor, Tensor]] | None = None
    ) -> list[Tensor]:
        """The flows of all scales, coarse to fine, each in pixels of its own scale.

        Args:
            verdicts: takes what the judge looked at at every scale, and what it said.
        """
        scales = [(reference, frame)]
        for _ in range(self.levels - 1):
            one, two = scales[-1]
            scales.append((halved(one, self.cell.coarser), halved(two, self.cell.coarser)))
        height, width = scales[-1][0].shape[-2:]
        flow = reference.new_zeros(reference.shape[0], 2, height // CELL, width // CELL)
        flows: list[Tensor] = []
        for one, two in reversed(scales):
            # Detached: a scale learns from its own error. Through the solves of the finer scales
            # gradients grow without bound where there is no texture (RAFT detaches likewise).
            features, found = self.cell.look(one, two, flow.detach())
            verdict = self.cell.judge(features)
            if verdicts is not None:
                verdicts.append((features, verdict))
            flows.append(self.cell.choose(verdict, *found))
            # at half this scale's resolution = a quarter of the next one's, whose pixels are half as large
            flow = flows[-1] * 2
        return flows
