"""One model trained by several processes, each on its share of every batch: data parallel, synchronous.

torchrun starts them, on one machine or several: `torchrun --standalone --nproc-per-node=2 -m zoolib train ...`.
The first process holds run, folder and progress bar; the others follow it.  They talk over gloo on the CPU and over
NCCL between GPUs.  Without torchrun there is one process, and everything here does nothing.
"""

from __future__ import annotations

import os

import torch
import torch.distributed as dist
from torch import nn

from zoolib.run import Run


class Group:
    """The processes that train together: this one's `rank`, and how many there are in the `world`."""

    def __init__(self):
        self.world, self.rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        if self.world > 1 and not dist.is_initialized():
            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")

    def run(self, run: Run | None) -> Run:
        """The run of this process: the one given in the first, and one that keeps nothing in the others."""
        run = run or Run()
        if self.world == 1:
            return run
        device = run._device_name
        if device in ("auto", "cuda") and torch.cuda.is_available():
            device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
        if self.rank == 0:
            run._device_name = device
            return run
        return Run(seed=run.seed, device=device, threads=run.threads, progress=False)

    def share(self, batch: torch.Tensor) -> torch.Tensor:
        """This process's part of a batch [B, ...]: every world-th entry."""
        return batch[self.rank :: self.world]

    def average(self, module: nn.Module) -> None:
        """Every process gets the mean of all processes' gradients."""
        if self.world == 1:
            return
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        for gradient, mean in zip(gradients, (flat / self.world).split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def agree(self, run: Run, modules: list[nn.Module], optimizers: list[torch.optim.Optimizer]) -> None:
        """Every process takes over what the first has: its step, weights and optimisers, after a resume above all."""
        if self.world == 1:
            return
        step = torch.tensor([run.step])
        dist.broadcast(step, 0)
        run.step = int(step)
        tensors = [tensor for module in modules for tensor in module.state_dict().values()]
        if run.step:
            for optimizer in optimizers:
                parameters = [p for group in optimizer.param_groups for p in group["params"]]
                if self.rank > 0:  # a step along no gradient moves nothing, and makes the states that come
                    for parameter in parameters:
                        parameter.grad = torch.zeros_like(parameter)
                    optimizer.step()
                tensors += [value for p in parameters for _, value in sorted(optimizer.state[p].items())]
        for tensor in tensors:
            dist.broadcast(tensor, 0)

    def stop_together(self, run: Run) -> None:
        """Where one process has been told to stop, all do."""
        if self.world == 1:
            return
        told = torch.tensor([int(run.stopped is not None)])
        dist.all_reduce(told, dist.ReduceOp.MAX)
        if told and run.stopped is None:
            run.stop("interrupted")

    def end(self) -> None:
        """Part from the others."""
        if dist.is_initialized():
            dist.destroy_process_group()
