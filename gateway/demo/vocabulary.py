"""The words that the sample wikis are made of.

Hosts end in .example, and addresses are those reserved for documentation. So nobody can mistake the sample for a real
site or a real person's address.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Language:
    """How pages of one wiki are called, and what people write beside their changes.

    In `titles`, `{place}`, `{thing}`, `{person}` and `{year}` are replaced; in `comments` also `{user}`. `main` is the
    number of the namespace of most pages, and the next number that of their talk.
    """

    wiki: str
    host: str
    weight: int
    talk: str
    user: str
    project: str
    new_page: str
    titles: tuple[str, ...]
    places: tuple[str, ...]
    things: tuple[str, ...]
    sections: tuple[str, ...]
    comments: tuple[str, ...]
    moves: tuple[str, ...]
    main: int = 0
    main_prefix: str = ""


GIVEN_NAMES = (
    "Ada", "Alma", "Amir", "Anna", "Bruno", "Carla", "Chen", "Clara", "Dara", "Elif", "Emil", "Farah", "Felix", "Grace",
    "Hana", "Hugo", "Ines", "Ivan", "Jonas", "Kofi", "Lara", "Leon", "Lucía", "Maja", "Marek", "Mei", "Mira", "Nadia",
    "Nils", "Noor", "Olga", "Oskar", "Paula", "Pavel", "Rosa", "Samir", "Sofia", "Tariq", "Vera", "Yuki",
)  # fmt: skip
FAMILY_NAMES = (
    "Abe", "Almeida", "Bauer", "Berg", "Castro", "Costa", "Dubois", "Fischer", "Fontaine", "Garcia", "Haddad", "Hansen",
    "Horvat", "Ito", "Jensen", "Kaya", "Keller", "Kim", "Kowalski", "Lind", "Marchetti", "Mbeki", "Moreau", "Novak",
    "Okafor", "Olsen", "Petrov", "Quinn", "Ramos", "Rossi", "Sato", "Silva", "Tanaka", "Vogel", "Walker", "Weiss",
)  # fmt: skip
USER_WORDS = (
    "Amber", "Birch", "Comet", "Copper", "Drift", "Ember", "Fjord", "Flint", "Grove", "Harbor", "Indigo", "Juniper",
    "Kestrel", "Lantern", "Maple", "Meadow", "Nimbus", "Onyx", "Pebble", "Quartz", "Raven", "Saffron", "Tundra",
    "Umber", "Velvet", "Willow", "Xenon", "Yarrow", "Zephyr",
)  # fmt: skip
BOTS = ("LinkTidyBot", "CategoryBot", "ArchiveBot", "ReferenceBot", "SpellBot", "InterwikiBot")

LANGUAGES = (
    Language(
        "enwiki", "en.wiki.example", 40, "Talk", "User", "Project", "Created page",
        ("{place}", "{person}", "{place} {thing}", "History of {place}", "List of {thing}s in {place}",
         "{year} in {place}", "{person} (politician)", "{year} {place} election", "{thing} ({year} film)"),
        ("Ashford", "Bellhaven", "Crane Bay", "Drumlin", "Eastmere", "Fallow Hill", "Greyport", "Harbour Point",
         "Ironbridge", "Kestrel Valley", "Larkfield", "Millbrook", "Northwick", "Oakhurst", "Port Linden", "Redwater"),
        ("railway station", "bridge", "museum", "lighthouse", "university", "river", "castle", "football club"),
        ("History", "Early life", "Career", "Geography", "Demographics", "Legacy", "References", "External links"),
        ("typo", "added a source", "copyedit", "fixed dead link", "", "updated figures", "removed unsourced claim",
         "Undid a revision by {user}", "expanded", "date format", "clarified wording"),
        ("Spelling of the name", "More common name", "Disambiguation"),
    ),
    Language(
        "dewiki", "de.wiki.example", 14, "Diskussion", "Benutzer", "Projekt", "Neue Seite",
        ("{place}", "{person}", "{thing} {place}", "Geschichte von {place}", "Liste der Orte in {place}",
         "{person} (Maler)", "Wahl in {place} {year}"),
        ("Altenbruck", "Birkenau am See", "Dornfeld", "Eichstetten", "Grünwalde", "Hohenmühl", "Königsau", "Lindenberg",
         "Mühlhofen", "Neustetten", "Oberweiler", "Rotenfels", "Süderholz", "Tannenried"),
        ("Bahnhof", "Brücke", "Museum", "Leuchtturm", "Schloss", "Alte Mühle", "Kirche", "Universität"),
        ("Geschichte", "Leben", "Geographie", "Literatur", "Weblinks", "Einzelnachweise", "Persönlichkeiten"),
        ("Tippfehler", "Beleg ergänzt", "", "Link korrigiert", "aktualisiert", "Form", "kl. Ergänzung",
         "Änderung von {user} rückgängig gemacht"),
        ("Rechtschreibung", "Klammerlemma", "Umbenennung"),
    ),
    Language(
        "frwiki", "fr.wiki.example", 12, "Discussion", "Utilisateur", "Projet", "Page créée",
        ("{place}", "{person}", "{thing} de {place}", "Histoire de {place}", "{year} à {place}", "{person} (peintre)"),
        ("Aubeville", "Beaurivage", "Clairmont", "Écluse-sur-Vire", "Fontbrune", "Grandpré", "Hautelande", "L'Orme",
         "Montférand", "Pont-Sévère", "Rochebelle", "Saint-Ariel", "Valombre"),
        ("Gare", "Pont", "Musée", "Château", "Phare", "Cathédrale", "Université"),
        ("Histoire", "Biographie", "Géographie", "Population", "Références", "Liens externes", "Toponymie"),
        ("coquille", "ajout d'une source", "", "mise à jour", "typographie", "lien rompu", "Annulation de {user}"),
        ("Orthographe", "Homonymie", "Titre plus courant"),
    ),
    Language(
        "eswiki", "es.wiki.example", 9, "Discusión", "Usuario", "Proyecto", "Página nueva",
        ("{place}", "{person}", "{thing} de {place}", "Historia de {place}", "Edificios de {place}"),
        ("Aldea Brava", "Campoverde", "El Encinar", "Fuenteclara", "La Peña", "Montealto", "Puerto Calmo", "Río Seco",
         "San Telmo", "Torrealba", "Villanueva del Sauce"),
        ("Estación", "Puente", "Museo", "Castillo", "Faro", "Universidad"),
        ("Historia", "Biografía", "Geografía", "Referencias", "Enlaces externos", "Demografía"),
        ("ortografía", "añadí fuente", "", "actualización", "enlace roto", "Deshecha la edición de {user}"),
        ("Nombre correcto", "Desambiguación"),
    ),
    Language(
        "jawiki", "ja.wiki.example", 8, "ノート", "利用者", "プロジェクト", "ページの作成",
        ("{place}", "{place}{thing}", "{place}の歴史", "{year}年の{place}", "{person}"),
        ("青葉町", "海野市", "川瀬村", "北浜", "桜ヶ原", "白石沢", "高峰町", "月見台", "東雲", "松島野", "山添"),
        ("駅", "大橋", "博物館", "城", "灯台", "大学"),
        ("歴史", "概要", "地理", "経歴", "脚注", "外部リンク"),
        ("誤字修正", "出典追加", "", "更新", "リンク修正", "{user}による編集を取り消し"),
        ("正式名称", "曖昧さ回避"),
    ),
    Language(
        "ruwiki", "ru.wiki.example", 7, "Обсуждение", "Участник", "Проект", "Новая страница",
        ("{place}", "{thing} ({place})", "История: {place}", "{place} в {year} году", "{person}"),
        ("Берёзовка-на-Оби", "Верхний Яр", "Дальнегорье", "Заречный Бор", "Ключевое", "Лесогорск", "Новый Мыс",
         "Озёрки", "Северный Лог", "Чистые Пруды"),
        ("Вокзал", "Мост", "Музей", "Крепость", "Маяк", "Университет"),
        ("История", "Биография", "География", "Примечания", "Ссылки", "Население"),
        ("опечатка", "источник", "", "обновление", "оформление", "отмена правки {user}"),
        ("Уточнение названия", "Неоднозначность"),
    ),
    Language(
        "commonswiki", "media.wiki.example", 10, "File talk", "User", "Project", "Uploaded own work",
        ("{place} {year}.jpg", "{place} {thing} 0{digit}.jpg", "{place} coat of arms.svg", "{person}.png"),
        ("Ashford", "Beaurivage", "Campoverde", "Dornfeld", "Greyport", "Lindenberg", "Montealto", "Rochebelle"),
        ("bridge", "museum", "harbour", "market square", "church", "old town"),
        ("Summary", "Licensing", "Description"),
        ("added category", "better description", "", "adding structured data", "cropped", "removed {user}'s note"),
        ("Meaningless name", "Requested by the author"),
        6, "File",
    ),
)  # fmt: skip
