"""The bench program as a child that takes turns with a peer: one run for every line it is sent."""
import subprocess


class Server:
    """facts: what the program says of itself, by name."""

    def __init__(self, program, cfg, **settings):
        arguments = [program, cfg, 'serve=1'] + [f'{k}={v}' for k, v in settings.items()]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        words = self.process.stdout.readline().split()
        self.facts = dict(zip(words[::2], words[1::2]))

    def run(self):
        """Milliseconds of one run."""
        self.process.stdin.write('\n')
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()
