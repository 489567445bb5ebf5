"""What the stages of learn.py share: contrast, and steps of AdamW that go on where they were."""
import copy
import os
import time

import torch


def contrast(images, texts, scale, same=None):
    """InfoNCE, the mean of both ways; `same` [n,n]: which pairs say the same, those of one row if not given."""
    s = images @ texts.T * scale
    want = torch.eye(len(s)) if same is None else same / same.sum(1, keepdim=True)
    return -((s.log_softmax(1) * want).sum(1) + (s.T.log_softmax(1) * want).sum(1)).mean() / 2


def ranks(scores, truth):
    """[n] place of the true column."""
    return (scores > scores.gather(1, truth[:, None])).sum(1)


def save(path, **state):
    torch.save(state, path + '.part')
    os.replace(path + '.part', path)


class Scales(torch.nn.Module):
    """Logarithms of what cosines are multiplied by; each has a most that it may be."""

    def __init__(self, **begin_and_most):
        super().__init__()
        self.most = {name: most for name, (_, most) in begin_and_most.items()}
        for name, (begin, _) in begin_and_most.items():
            setattr(self, name, torch.nn.Parameter(torch.tensor(begin)))

    def read(self):
        """{name: factor}"""
        with torch.no_grad():
            for name, most in self.most.items():
                getattr(self, name).clamp_(max=most)
        return {name: getattr(self, name).exp() for name in self.most}


class Loop:
    """`steps` of AdamW on `modules` (ModuleDict), each group {'params', 'rate'} at its own rate, which rises
    for `warm` steps and then falls in a line. state(): the weights, averaged over the last 1 / (1 - keep)
    steps. Everything is kept in `path`; every step has its own seed, so that an interrupted run comes to
    the same."""

    def __init__(self, path, steps, modules, groups, decay, keep=0.0, warm=60, clip=5.0):
        self.path, self.steps, self.warm, self.clip, self.keep = path, steps, warm, clip, keep
        self.name = os.path.basename(path).removesuffix('.pt')
        self.modules, self.average, self.step = modules, copy.deepcopy(modules), 0
        self.optimiser = torch.optim.AdamW(groups, lr=1e-4, weight_decay=decay)
        if os.path.exists(path):
            state = torch.load(path)
            self.modules.load_state_dict(state['modules'])
            self.average.load_state_dict(state['average'])
            self.optimiser.load_state_dict(state['optimiser'])
            self.step = state['step']

    def advance(self, loss):
        rise = min(1, (self.step + 1) / self.warm) * (1 - 0.97 * self.step / self.steps)
        for group in self.optimiser.param_groups:
            group['lr'] = group['rate'] * rise
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for g in self.optimiser.param_groups for p in g['params']],
                                       self.clip)
        self.optimiser.step()
        kept = min(self.keep, self.step / (self.step + 20))
        with torch.no_grad():
            for old, new in zip(self.average.parameters(), self.modules.parameters()):
                old.lerp_(new, 1 - kept)
        self.step += 1

    def run(self, losses):
        """losses(step) -> (what is made small, {name: figure that is shown}). Returns the averaged modules."""
        began, mean = time.time(), {}
        while self.step < self.steps:
            torch.manual_seed(self.step)
            loss, shown = losses(self.step)
            self.advance(loss)
            for name, value in shown.items():
                mean[name] = mean.get(name, value.item()) * 0.95 + value.item() * 0.05
            if self.step % 50 == 0 or self.step == self.steps:
                figures = ', '.join(f'{name} {value:.3f}' for name, value in mean.items())
                print(f'{self.name}: step {self.step}/{self.steps}, {figures}, '
                      f'{time.time() - began:.0f} s', flush=True)
            if self.step % 100 == 0 or self.step == self.steps:
                save(self.path, modules=self.modules.state_dict(), average=self.average.state_dict(),
                     optimiser=self.optimiser.state_dict(), step=self.step)
        return self.average.eval()
