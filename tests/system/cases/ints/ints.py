class Ints:
    def load(self, weights_dir, device, rank, world_size):
        pass

    def predict(self, inputs, ctx):
        steps = inputs["steps"]
        total = sum(1 for _ in zip(range(steps), range(1000), strict=False))
        return {"type": type(steps).__name__, "repr": repr(steps), "total": total}
