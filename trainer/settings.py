"""Everything that decides the outcome of a training, beside how long and how fast."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.bounds import MOST, check

__all__ = ["Settings"]

WEIGHTS = ("scenes", "gain", "teacher", "photometric", "smoothness", "flow_loss", "colour")
COUNTS = ("batch", "reuse", "photometric_batch", "photometric_every", "windows", "pairs", "flow_every", "updates")
SHARES = ("camera", "scenes_share", "real_after")
BOUNDS = {
    **dict.fromkeys((*WEIGHTS, "left_alone", "width", "wires", "slowest", "fastest", "farthest"), (0, MOST)),
    **dict.fromkeys((*COUNTS, "largest_alpha"), (1, MOST)),
    **dict.fromkeys(SHARES, (0, 1)),
}


@dataclass(frozen=True)
class Settings:
    """Everything that decides the outcome of a run, beside its `Plan`; kept with the weights."""

    network: str = "warp"
    width: int = 0  # channels at the finest resolution; 0: the network's own (warp 32, unet 64)

    light: bool = False  # the cheaper shape (warp)
    linear_first: bool = False  # begin as the linear magnifier, and keep batch statistics (unet)

    # layered scenes
    scenes: float = 1.0  # weight: exact flow (warp), exact magnified frame (unet)
    batch: int = 8  # scenes a step
    size: int = 256  # px, of scenes and of crops of clips; the coarsest of warp's five scales then sees 16 × 16 px
    reuse: int = 3  # times a painted batch is used, turned and filmed anew
    slowest: float = 0.012  # px
    fastest: float = 12.0  # px
    camera: float = 0.75  # share of scenes whose background moves; with half, `warp` took slow ground for still
    wires: int = 0  # sets of drawn wires among the cut-outs: without, `warp` took strings for noise
    gain: float = 0.0  # weight, within scenes, of `gain_error` (warp)
    moving: float = 0.6  # the vote of the points that move, see `relative_flow_error` (warp)

    # a `warp` as a teacher: its choices are imitated by `warp`, what it renders of real pairs by `unet`
    teacher: float = 1.0  # weight, where one is given
    left_alone: float = 0.5  # share of the run after which it has nothing more to say; it fades till then

    # real clips, by photometric consistency (warp)
    photometric: float = 0.5  # weight
    smoothness: float = 0.05  # within it
    photometric_batch: int = 4  # pairs, each in both directions
    photometric_every: int = 2  # steps
    windows: int = 6  # of twelve frames, kept of every clip

    # the paper's flow loss (Eq. 3-5), on real pairs
    flow_loss: float = 1.0  # weight
    flow: str = "warp"  # the estimator it is backpropagated through
    updates: int = 5  # RAFT's iterations
    pairs: int = 4  # a step
    scenes_share: float = 0.0  # of these pairs that are painted scenes, taken as unlabelled
    flow_every: int = 1  # steps
    colour: float = 10.0  # weight of Eq. 4 within Eq. 5; 0 is the paper's ablation
    norm: str = "l1"  # or "charbonnier"
    occlusion_aware: bool = False  # Eq. 4 only where both frames see the point
    largest_alpha: float = 16.0  # alpha = 2^U(0, 4)
    farthest: float = 0.0  # px; alpha is cut for what would be moved farther, in scenes or by a teacher (unet); 0: none
    jitter: bool = True  # flips, rotation and colour jitter of the paper

    real_after: float = 0.0  # share of the run that scenes have for themselves

    def __post_init__(self) -> None:
        if self.network not in ("warp", "unet"):
            raise ValueError(f"Expected network warp or unet, got {self.network!r}.")
        if self.linear_first and self.network != "unet":
            raise ValueError("Expected linear_first with unet; warp paints nothing.")
        if self.size < 64 or self.size % 64:
            raise ValueError(f"Expected size to be a multiple of 64, got {self.size}.")
        check(self, BOUNDS)
        if self.norm not in ("l1", "charbonnier"):
            raise ValueError(f"Expected norm l1 or charbonnier, got {self.norm!r}.")
        if not 0 < self.moving < 1:
            raise ValueError(f"Expected moving between 0 and 1, got {self.moving}.")
        if not 0 < self.slowest <= self.fastest:
            raise ValueError(f"Expected 0 < slowest <= fastest px, got {self.slowest} and {self.fastest}.")
        parts = (self.scenes, self.flow_loss, self.photometric if self.network == "warp" else 0.0)
        if max(parts) <= 0:
            raise ValueError("Expected at least one of the weights scenes, photometric and flow_loss above 0.")

    @property
    def paints(self) -> bool:
        """Whether scenes are needed at all."""
        return self.scenes > 0 or (self.flow_loss > 0 and self.scenes_share > 0)

    @property
    def needs_pairs(self) -> bool:
        """Whether the flow loss draws real pairs."""
        return self.flow_loss > 0 and self.scenes_share < 1
