"""Control: do the engine's commands do what they say? Judged by effects, on disposable stacks."""
