"""Compound records out of the chemicals wheel (from PubChem); one compound, one document of one or two lines.

2-oxidanylpropanedioic acid (tartronic acid): C3H4O5, molar mass 120.06, SMILES C(C(=O)O)(C(=O)O)O.
Also called hydroxymalonic acid; 2-hydroxypropanedioic acid; ...
"""

import re
from collections.abc import Iterator
from zipfile import ZipFile

TABLE = "chemicals/Identifiers/chemical identifiers pubchem large.tsv"
SYNONYMS = 8
"""How many synonyms a record keeps. The long tail of the table is catalogue codes of suppliers."""
_CODE = re.compile(r"[\d-]+|[a-z]{1,5}[- ]?\d{3,}\w*|.*\b\d+ci\b.*|ec \d.*|einecs.*|unii.*")


def documents(archive: ZipFile) -> Iterator[str]:
    """One record a document, in the order of the table."""
    for line in archive.read(TABLE).decode().splitlines():
        if document := record(line.split("\t")):
            yield document


def record(fields: list[str]) -> str | None:
    """The sentence of one row: number, CAS, formula, mass, SMILES, InChI, key, IUPAC name, then synonyms. None without a name."""
    _, _, formula, mass, smiles, _, _, systematic, *synonyms = fields
    names = list(dict.fromkeys(name for name in (systematic, *synonyms) if name and not _CODE.fullmatch(name)))
    if not names or not smiles:
        return None
    common = f" ({names[1]})" if len(names) > 1 else ""
    first = f"{names[0]}{common}: {formula}, molar mass {float(mass):.2f}, SMILES {smiles}."
    others = "; ".join(names[2 : 2 + SYNONYMS])
    return f"{first}\nAlso called {others}." if others else first
