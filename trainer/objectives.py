"""What the two magnifying networks are trained to do. Each part has a weight; 0 leaves it out."""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magfilter.networks.warp import WarpNet
from trainer.clips import ClipBank
from trainer.losses import edge_aware_smoothness, gain_error, imitation, occluded, photometric, relative_flow_error
from trainer.magnification import flow_loss, magnified_by_warp
from trainer.scenes import PaintedScenes
from trainer.settings import Settings
from trainer.textures import LUMA

__all__ = ["Pairs", "UNetObjective", "WarpObjective", "luma", "sample_alpha"]


class Pairs(Protocol):
    """An endless source of real pairs."""

    def __call__(self) -> Tensor:
        """(B, 2, 3, S, S) RGB in 0..1 on the training device."""
        ...

    def state(self) -> Any: ...

    def restore(self, state: Any) -> None: ...


def luma(rgb: Tensor) -> Tensor:
    """(B, 3, H, W) → (B, 1, H, W), BT.709: what the runtime hands to `warp` is the frame's own luma."""
    return (rgb * rgb.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def sample_alpha(count: int, largest: float | Tensor, device: torch.device) -> Tensor:
    """(count,) factors, geometric from 1 to `largest`, one or (count,): the paper's 2^U(0, 4) for 16 (§4.1)."""
    return torch.exp(torch.rand(count, device=device) * torch.as_tensor(largest, device=device).log())


def _row(*images: Tensor) -> Tensor:
    """The first pictures of some batches side by side: (3, H, n·W)."""
    return torch.cat([image[0].expand(3, -1, -1) for image in images], 2)


class _Base:
    """Where the pairs of the flow loss come from, what a teacher counts, and what has to be remembered."""

    def __init__(
        self,
        settings: Settings,
        painted: PaintedScenes | None,
        pairs: Pairs | None,
        flow: nn.Module | None,
        teacher: WarpNet | None = None,
    ) -> None:
        self.settings, self.painted, self.pairs, self.flow, self.teacher = settings, painted, pairs, flow, teacher
        self.calls = 0

    def _fade(self, progress: float) -> float:
        """The weight of what the teacher says: less and less, until the network is left alone."""
        s = self.settings
        return s.teacher * max(0.0, 1 - progress / max(s.left_alone, 1e-9)) if self.teacher else 0.0

    def _rgb_scenes(self, count: int) -> Tensor:
        """Painted pairs as if filmed: (count, 2, 3, S, S). Luma scenes become grey pictures."""
        assert self.painted is not None
        one, two, _ = self.painted.scenes.augment(self.painted())
        picked = [torch.cat([image] * (-(-count // len(image))))[:count].expand(-1, 3, -1, -1) for image in (one, two)]
        return torch.stack(picked, 1)

    def _unlabelled(self) -> Tensor:
        s = self.settings
        painted = round(s.pairs * s.scenes_share)
        parts = [self._rgb_scenes(painted)] if painted else []
        if painted < s.pairs:
            assert self.pairs is not None
            parts.append(self.pairs()[: s.pairs - painted])
        return torch.cat(parts)

    def _flow_loss(
        self, reference: Tensor, frame: Tensor, magnified: Tensor, alpha: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        assert self.flow is not None
        s = self.settings
        with torch.autocast(reference.device.type, enabled=False):  # a flow network in half precision is noise
            parts = flow_loss(
                reference.float(),
                frame.float(),
                magnified.float(),
                alpha,
                self.flow,
                norm=s.norm,
                colour_weight=s.colour,
                occlusion_aware=s.occlusion_aware,
            )
        log = {"magnification": parts.magnification.item(), "colour": parts.colour.item()}
        return parts.total, log

    def counts(self) -> dict[str, int]:
        return {"unreadable pairs": getattr(self.pairs, "skipped", 0)}  # only an index's can turn out unreadable

    def state(self) -> dict[str, Any]:
        return {
            "calls": self.calls,
            "painted": self.painted.state() if self.painted else None,
            "pairs": self.pairs.state() if self.pairs else None,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.calls = state["calls"]
        if self.painted and state["painted"]:
            self.painted.restore(state["painted"])
        if self.pairs and state["pairs"] is not None:
            self.pairs.restore(state["pairs"])


class WarpObjective(_Base):
    """`warp`: exact flow of scenes, photometric consistency of clips, the paper's loss on what it renders.

    Args:
        painted: luma scenes, or None; bank: luma clips, or None; pairs: RGB pairs, or None; flow: a frozen
            estimator, or None; teacher: a frozen `warp` whose choices are imitated, or None. What is None has
            weight 0 in `settings`.
    """

    def __init__(
        self,
        settings: Settings,
        painted: PaintedScenes | None,
        bank: ClipBank | None,
        pairs: Pairs | None,
        flow: nn.Module | None,
        teacher: WarpNet | None = None,
    ) -> None:
        super().__init__(settings, painted, pairs, flow, teacher)
        self.bank = bank

    def __call__(self, net: nn.Module, progress: float) -> tuple[Tensor, dict[str, float]]:
        s = self.settings
        turn, self.calls = self.calls, self.calls + 1
        losses: list[Tensor] = []
        log: dict[str, float] = {}
        real = progress >= s.real_after or s.scenes <= 0
        fade = self._fade(progress)
        if s.scenes > 0:
            loss, more = self._on_scenes(net, fade)
            losses.append(s.scenes * loss)
            log |= more
        if s.photometric > 0 and real and turn % s.photometric_every == 0:
            loss, more = self._on_clips(net, fade)
            losses.append(s.photometric * loss)
            log |= more
        if s.flow_loss > 0 and real and turn % s.flow_every == 0:
            reference, frame = self._unlabelled().unbind(1)
            alpha = sample_alpha(len(frame), s.largest_alpha, frame.device)
            magnified = magnified_by_warp(frame, net(luma(reference), luma(frame)), alpha)
            loss, more = self._flow_loss(reference, frame, magnified, alpha)
            losses.append(s.flow_loss * loss)
            log |= more
        if not losses:  # real parts alone, and not their turn
            return self(net, progress)
        total = torch.stack(losses).sum()
        return total, {"loss": total.item(), **log}

    def _pyramid(self, net: nn.Module, one: Tensor, two: Tensor, teacher: float) -> tuple[list[Tensor], Tensor | None]:
        """The flows of all scales; and how far the choices are from what the teacher would choose, shown the same."""
        if self.teacher is None or teacher <= 0:
            return net.pyramid(one, two), None  # type: ignore[operator]
        verdicts: list[tuple[Tensor, Tensor]] = []
        flows: list[Tensor] = net.pyramid(one, two, verdicts)  # type: ignore[operator]
        cell, own, taught = self.teacher.cell, list[tuple[Tensor, Tensor]](), list[tuple[Tensor, Tensor]]()
        for features, verdict in verdicts:
            own.append(net.cell.shares(verdict))  # type: ignore[operator, union-attr]
            with torch.no_grad():
                taught.append(cell.shares(cell.judge(features)))
        parts = [imitation([a[k] for a in own], [b[k] for b in taught]) for k in range(2)]
        return flows, parts[0] + parts[1]

    def _on_scenes(self, net: nn.Module, teacher: float) -> tuple[Tensor, dict[str, float]]:
        assert self.painted is not None
        scene = self.painted()
        reference, frame, flow = self.painted.scenes.augment(scene)
        flows, apart = self._pyramid(net, reference, frame, teacher)
        loss = relative_flow_error(flows, flow, scene.speed, self.settings.moving)
        log = {"scenes": loss.item()}
        if apart is not None:
            log["teacher"] = apart.item()
            loss = loss + teacher * apart
        if self.settings.gain > 0:
            short = gain_error(flows[-1], flow, scene.speed)
            log["gain error"] = short.item()
            loss = loss + self.settings.gain * short
        with torch.no_grad():  # realised share of the motion, by its magnitude: 1 is right
            size = flow.norm(dim=1)
            along = (flows[-1] * flow).sum(1) / size.clamp_min(1e-6).square()
            for low, high in ((0.02, 0.1), (0.1, 1), (1, 16)):
                here = (size > low) & (size <= high)
                if bool(here.any()):
                    log[f"gain {low:g}-{high:g} px"] = along[here].clamp(-3, 3).mean().item()
            still = size < 1e-6
            if bool(still.any()):
                log["still px"] = flows[-1].norm(dim=1)[still].mean().item()
        return loss, log

    def _on_clips(self, net: nn.Module, teacher: float) -> tuple[Tensor, dict[str, float]]:
        """Photometric consistency both ways round, at the two finest scales."""
        assert self.bank is not None
        reference, frame = self.bank(self.settings.photometric_batch, self.settings.size)
        one, two = torch.cat([reference, frame]), torch.cat([frame, reference])
        flows, apart = self._pyramid(net, one, two, teacher)
        half = F.avg_pool2d(one, 2), F.avg_pool2d(two, 2)
        hidden = occluded(flows[-1] / 2, flows[-1].roll(len(reference), 0) / 2)  # on the half-resolution grid
        full = F.interpolate(flows[-1], scale_factor=2, mode="bilinear", align_corners=False)
        data = photometric(one, two, full, F.interpolate(hidden, scale_factor=2))
        wide = F.interpolate(flows[-2], scale_factor=2, mode="bilinear", align_corners=False)
        coarse = photometric(*half, wide, hidden)
        smooth = edge_aware_smoothness(flows[-1], half[0])
        loss = data + 0.5 * coarse + self.settings.smoothness * smooth
        log = {"photometric": data.item(), "hidden": hidden.mean().item()}
        if apart is not None:
            log["teacher on clips"] = apart.item()
            loss = loss + teacher * apart
        return loss, log

    def state(self) -> dict[str, Any]:
        return {**super().state(), "bank": self.bank.state() if self.bank else None}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        if self.bank and state["bank"] is not None:
            self.bank.restore(state["bank"])

    @torch.no_grad()
    def pictures(self, net: nn.Module) -> dict[str, Tensor]:
        scene = self.painted.at_hand if self.painted else None
        if scene is None:
            return {}
        flow = net(scene.reference[:1], scene.frame[:1])
        ten = scene.frame.new_full((1,), 10.0)
        return {
            "reference, frame, x10": _row(scene.reference, scene.frame, magnified_by_warp(scene.frame[:1], flow, ten))
        }


class UNetObjective(_Base):
    """`unet`: the exact magnified frame of scenes (L1), and the paper's loss on unlabelled pairs.

    On these a teacher may show how: what its flow renders of them is imitated (L1), the less the longer
    the run. That, too, needs no label.

    Args:
        painted: RGB scenes exact up to `largest_alpha`, or None; pairs: RGB pairs, or None; flow: a frozen
            estimator, or None; teacher: a frozen `warp`, or None. What is None has weight 0 in `settings`.
    """

    def __call__(self, net: nn.Module, progress: float) -> tuple[Tensor, dict[str, float]]:
        s = self.settings
        turn, self.calls = self.calls, self.calls + 1
        log: dict[str, float] = {}
        shown: list[tuple[Tensor, ...]] = []  # reference, frame, alpha; scenes first, then real pairs
        painted, fade = 0, self._fade(progress)
        target = taught = None
        if s.scenes > 0:
            assert self.painted is not None
            scene = self.painted()
            painted = len(scene.frame)
            alpha = sample_alpha(painted, self._largest(scene.flow), scene.frame.device)
            with torch.no_grad():
                target = self.painted.scenes.magnified(scene, alpha)
            shown.append((scene.reference, scene.frame, alpha))
        judged = s.flow_loss > 0 and turn % s.flow_every == 0 and (progress >= s.real_after or s.scenes <= 0)
        if judged or fade > 0:
            reference, frame = self._unlabelled().unbind(1)
            if fade > 0:
                alpha, taught = self._taught(reference, frame)
            else:
                alpha = sample_alpha(len(frame), s.largest_alpha, frame.device)
            shown.append((reference, frame, alpha))
        if not shown:  # the paper's loss alone, and not its turn
            return self(net, progress)
        # All in one batch: batch normalisation then sees at every step what its averages are of.
        magnified = net(*(torch.cat(part) for part in zip(*shown, strict=True))).float()
        losses: list[Tensor] = []
        if target is not None:
            loss = F.l1_loss(magnified[:painted], target)
            log |= {"scenes": loss.item(), "scenes, unmagnified": F.l1_loss(shown[0][1], target).item()}
            losses.append(s.scenes * loss)
        if taught is not None:
            loss = F.l1_loss(magnified[painted:], taught)
            log |= {"teacher": loss.item(), "teacher, unmagnified": F.l1_loss(shown[-1][1], taught).item()}
            losses.append(fade * loss)
        if judged:
            reference, frame, alpha = shown[-1]
            loss, more = self._flow_loss(reference, frame, magnified[painted:], alpha)
            losses.append(s.flow_loss * loss)
            log |= more
        total = torch.stack(losses).sum()
        return total, {"loss": total.item(), **log}

    def _largest(self, flow: Tensor) -> Tensor:
        """The largest factor for each flow, (B,): with it, next to nothing moves farther than `farthest`."""
        s = self.settings
        largest = torch.full((len(flow),), s.largest_alpha, device=flow.device)
        if s.farthest <= 0:
            return largest
        most = torch.quantile(flow.norm(dim=1).flatten(1), 0.95, dim=1)
        return torch.minimum(largest, s.farthest / most.clamp_min(1e-6)).clamp_min(1)

    @torch.no_grad()
    def _taught(self, reference: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
        """Factors, and what the teacher makes with them."""
        assert self.teacher is not None
        with torch.autocast(frame.device.type, enabled=False):
            flow = self.teacher(luma(reference), luma(frame))
            alpha = sample_alpha(len(frame), self._largest(flow), frame.device)
            return alpha, magnified_by_warp(frame, flow, alpha)

    @torch.no_grad()
    def pictures(self, net: nn.Module) -> dict[str, Tensor]:
        if self.pairs is None:
            return {}
        remembered = self.pairs.state()
        reference, frame = self.pairs()[:1].unbind(1)
        self.pairs.restore(remembered)  # looking must not change what is trained on
        was_training = net.training
        net.eval()  # and must not move the batch statistics
        magnified = net(reference, frame, frame.new_full((1,), 8.0))
        net.train(was_training)
        return {"reference, frame, x8": _row(reference, frame, magnified)}
