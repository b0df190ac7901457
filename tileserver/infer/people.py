"""Columns that seem to tell about single persons: by their names, and by what stands in them."""

from __future__ import annotations

import re

from tileserver.infer.facts import Facts, folded, squeezed, words

EMAIL = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
PHONE = r"(?:^|[^0-9A-Za-z.])(?:\+?1[ .-]?)?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-]?[0-9]{4}(?:[^0-9]|$)"
SOCIAL_SECURITY = r"(?:^|[^0-9-])[0-8][0-9]{2}-[0-9]{2}-[0-9]{4}(?:[^0-9-]|$)"
SUFFIX = (
    r"(?i)\b[0-9]{1,6}[A-Z]?\s+(?:[NSEW]\.?\s+)?(?:[A-Z0-9'.]+\s+){0,3}"
    r"(?:ST|STREET|AVE?|AVENUE|RD|ROAD|DR|DRIVE|LN|LANE|CT|COURT|CIR|BLVD|BOULEVARD|PL|PLACE|TER|TERRACE|TRL|TRAIL|CV|COVE|PKW?Y"
    r"|HWY|HIGHWAY|WAY|LOOP|SQ|PLZ|PLAZA)\b"
)
"""A street address somewhere in a text."""
NUMBER_LAST = (
    r"(?i)(?:\b(?:calle|avenida|av\.|avda\.?|calzada|calz\.?|boulevard|blvd\.?|bulevar|paseo|privada|priv\.|cerrada|andador|camino"
    r"|carrera|jir[oó]n|pasaje|callej[oó]n|rua|rue)\s+|[a-zäöüß-]+(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse)\s)"
    r"(?:[^\s,;:]+\s+){0,6}?(?:no\.?|n[uú]m\.?|n[uú]mero|#)?,?\s*#?[0-9]{1,5}[A-Za-z]?\b"
)
"""The same where the number comes after the street: "Calle Rosales 123", "Hauptstraße 12"."""

_BY_NAME = {
    "persons": (
        r"owner(?!ship)|applicant|appliedby|contact|victim|suspect|offender|defendant|complainant|witness|officer|detective"
        r"|resident(?!ial)|tenant|customer|client|patient|employee|caller|reporter|reportedby|requ?est[eo]r|requestedby|permitt?ee"
        r"|licensee|inspector|(?:first|last|middle|full|sur|given|family|maiden|spouse|person|user|driver|manager|clerk|createdby"
        r"|editedby|createuser|edituser|created_user|lasteditor)name|surname|^rep(?:resentative)?name|lasteditor|createduser"
        r"|apellido|denunciante|solicitante|propietari[oa]|duen[oa]s?$|contribuyente|quejos[oa]|afectad[oa]|victima|testigo|imputad[oa]"
        r"|inculpad[oa]|detenid[oa]|acusad[oa]|agraviad[oa]|ofendid[oa]|inquilin[oa]|arrendatari[oa]|beneficiari[oa]|promovente|usuari[oa]"
        r"|empleado|funcionari[oa]|conductor|paciente|reportante|vorname|nachname|familienname|eigentumer|eigentuemer|antragsteller"
        r"|beschwerdef|prenom|nomdefamille|proprietaire|demandeur|plaignant|locataire"
    ),
    "telephone numbers": r"phone|mobile|^fax|fax(?:no|number)?$|cellno|cellnumber|^tel$|^tel(?:no|nr|number)"
    r"|telefon|celular|whatsapp|handynummer",
    "e-mail addresses": r"e?mail(?:addr|address)?$|^email|correo|courriel",
    "birth dates": r"birth|^dob|dob$|nacimiento|fechanac|^fnac|geburt|naissance",
    "numbers of documents": r"^ssn|ssn$|socialsec|passport|driver.?s?licen|licen[sc]eplate|plateno|platenumber|^vin$"
    r"|cedula(?!catastral)|pasaporte|^curp|curp$|^placas?$|placavehic",
}
_BY_WORD: dict[str, set[str]] = {
    "persons": {"rep", "surname", "username", "melder"},
    "traits of persons": {"race", "sex", "gender", "ethnicity", "age", "religion", "nationality", "disability", "ssn"}
    | {"sexo", "genero", "edad", "raza", "etnia", "nacionalidad", "discapacidad", "geschlecht", "sexe"},
    "telephone numbers": {"tel", "cell", "cel", "movil"},
    "numbers of documents": {"dni", "rfc", "nif", "nie", "rut", "cuit", "cuil"},
    "birth dates": {"dob"},
    "internet addresses of persons": {"ip"},
}
_GIVEN_NAMES = (
    "james|mary|robert|patricia|john|jennifer|michael|linda|david|elizabeth|william|barbara|richard|susan|joseph|jessica|thomas"
    "|sarah|charles|karen|christopher|lisa|daniel|nancy|matthew|betty|anthony|sandra|mark|margaret|donald|ashley|steven|kimberly"
    "|paul|emily|andrew|donna|joshua|michelle|kenneth|carol|kevin|amanda|brian|melissa|george|deborah|timothy|stephanie|ronald"
    "|rebecca|jason|sharon|edward|laura|jeffrey|cynthia|ryan|dorothy|jacob|amy|gary|kathleen|nicholas|angela|eric|shirley|jonathan"
    "|emma|stephen|brenda|larry|pamela|justin|nicole|scott|anna|brandon|samantha|benjamin|katherine|samuel|christine|gregory|helen"
    "|alexander|debra|patrick|rachel|frank|carolyn|raymond|janet|jack|maria|dennis|olivia|jerry|heather|jos[eé]|juan|luis|carlos|ana|mar[ií]a|guadalupe|jes[uú]s|alejandr[oa]|fernando|ricardo|roberto|javier|rafael|gabriela"
)
_LETTERS = "[a-zà-öø-ÿÀ-ÖØ-Þ'-]"
_LIKE_A_PERSON = (
    rf"(?i)^(?:(?:{_GIVEN_NAMES})(?: [a-z]\.?| (?:{_GIVEN_NAMES}))? {_LETTERS}{{3,}}"
    rf"|{_LETTERS}{{3,}}, ?(?:{_GIVEN_NAMES})(?: [a-z]\.?)?)$"
)
_THINGS = (
    r"parque|colonia|barrio|escuela|calle|vialidad|distrito|municipio|ciudad|estado|edificio|estacion|zona|sector|proyecto|obra"
    r"|especie|comun|cientifico|comercial|archivo|ruta|linea|plantel|mercado|hospital|biblioteca|lugar|sitio|programa|servicio|tipo"
)
"""What has a `nombre` that is nobody's."""


def personal(facts: Facts) -> str | None:
    """What a column seems to hold of persons, and what says so; None where nothing does."""
    name = squeezed(facts.name)
    told_by = set(words(folded(facts.name)))
    if told_by & {"nombre", "nombres"} and not re.search(_THINGS, name):
        return "persons, by its name; if it names places or things, publish it"
    for what, pattern in _BY_NAME.items():
        if re.search(pattern, name):
            return f"{what}, by its name"
    for what, told in _BY_WORD.items():
        if told & told_by:
            return f"{what}, by its name"
    return _by_content(facts)


def _by_content(facts: Facts) -> str | None:
    if facts.type != "text":
        return "telephone numbers" if facts.type == "integer" and _long_numbers(facts) else None
    for what, pattern in (("e-mail addresses", EMAIL), ("telephone numbers", PHONE), ("social security numbers", SOCIAL_SECURITY)):
        if share := facts.matching(pattern):
            return f"{what}: {round(share * facts.known):,} values hold one"
    if facts.matching(_LIKE_A_PERSON) > 0.1:
        return "names of persons, by its values"
    return None


def _long_numbers(facts: Facts) -> bool:
    """Ten digits that could be dialled, in a column whose name says that they are."""
    return facts.matching(r"^[2-9][0-9]{2}[2-9][0-9]{6}$") > 0.9 and "call" in squeezed(facts.name)


_ADDRESS_NAMES = re.compile(r"direccion|domicilio|^calle(?!jer)|adresse|anschrift|strasse|straße")
_ADDRESS_KEY = re.compile(
    r"(?:addr|location|parcel|premise|property|taxlot|^lot|domicilio|direccion|predio).*(?:id|key|number|num|no|nr|guid|pin)$"
    r"|^(?:marid|mar|ssl|apn|ain|taxlot|blocklot|squarelot|sqlot|parcel|geopin|clavecatastral|cedulacatastral|cuentapredial)$"
)
_ADDRESSED = re.compile(r"addr|street|location|block|intersection|premise|residence")
_NUMBERED = re.compile(
    r"addr|house|street|civic|hausn|num(?:ero)?(?:ext|int|casa|puerta|oficial)|exterior$|^(?:no|nro)(?:ext|casa|puerta|oficial)"
)


_SHORT_NUMBER = r"^[0-9]{1,6}[A-Za-z]?$"


def is_house_number(facts: Facts) -> bool:
    """The number alone of a street address that stands in several columns."""
    name = squeezed(facts.name)
    return bool(_NUMBERED.search(name)) and not name.endswith(("id", "key")) and facts.matching(_SHORT_NUMBER) > 0.5


def is_plain_number(facts: Facts) -> bool:
    """A house number, if a street stands beside it."""
    return squeezed(facts.name) in ("numero", "nummer", "number", "num", "nro", "no", "nr") and facts.matching(_SHORT_NUMBER) > 0.5


def names_streets(facts: Facts) -> bool:
    return bool(re.search(r"street|calle(?!jer)|strasse|straße|^rue|domicilio|direccion", squeezed(facts.name)))


def is_address(facts: Facts) -> bool:
    """Street addresses, exact or of a block, with the house number or without."""
    if facts.type != "text" or not facts.known:
        return False
    name = squeezed(facts.name)
    if "address" in name and not re.search(r"address(?:id|type|repositoryid)|ipaddress|webaddress", name):
        return True
    if _ADDRESS_NAMES.search(name) and facts.matching("[0-9]") > 0.01:
        return True
    if facts.matching(NUMBER_LAST) > 0.5 and facts.mean_words < 8:
        return True
    begins = facts.matching(r"^\s*[0-9]+[A-Za-z]?\s+\S*[A-Za-z]")
    return begins > 0.5 and (facts.matching(SUFFIX) > 0.3 or bool(_ADDRESSED.search(name)))


def holds_addresses(facts: Facts) -> int:
    """Rows of a longer text in which a street address stands."""
    return round(facts.matching(f"{SUFFIX}|{NUMBER_LAST}") * facts.known) if facts.type == "text" else 0


def is_address_key(name: str) -> bool:
    """Whether a column's name says that it leads to one address or parcel: with public lists of these it tells the house."""
    return bool(_ADDRESS_KEY.search(squeezed(name)))
