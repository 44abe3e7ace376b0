"""What the parts of this project cost, each beside what people would use in its place.

Every module measures one part and returns numbers; `bench.py` runs them, each in a process of its
own, and shows them.
"""
