"""The little of torch that ranks of a gang need, for machines that have none: tests put this folder before a model's
own code. Tests that are to hold for torch itself run with it too, where an interpreter has it (`TORCH_PYTHON`)."""


class Tensor(list):
    def tolist(self):
        return list(self)


def tensor(values):
    return Tensor(values)


def set_num_threads(threads):
    """Nothing here has threads to limit."""
