"""Files of cases: a line that begins a case, and indented lines that tell more of it; # begins a comment."""


def read_vectors(folder, file, vector_of):
    """vector_of(file, line number, words of its first line).take(line) for each further line."""
    with open(f"{folder}/{file}", encoding="ascii") as lines:
        vector = None
        for number, line in enumerate(lines, 1):
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            if line[0].isalnum():
                vector = vector_of(file, number, line.split())
                yield vector
            else:
                vector.take(line)
