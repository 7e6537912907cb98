"""ImageCLEF-DA: 600 pictures each from ImageNet (i), Caltech-256 (c), Pascal VOC 2012 (p) and Bing (b), 50 of each of 12 classes.

The 2014 challenge (Caputo and Patricia, "Overview of the ImageCLEF 2014 Domain Adaptation Task", CLEF 2014), in the selection of Long et
al., JAN, ICML 2017, arXiv 1605.06636; papers report the six tasks between i, p and c. Labels are those of the list files that come with it
(github.com/thuml/CDAN, commit c904cd3, data/image-clef): `<domain>_list.txt` or `list/<domain>List.txt`; without one, class folders say
them. The list of p has nine pictures under two classes each, so its 600 images are 591 files, and no classifier reaches 100 %. The pictures
belong to their datasets and authors.
"""

from aa_utils.benchmarks import Target, _check
from aa_utils.benchmarks._photos import Domain, Photos

# folder: name in prompts, and what else names it: categories of Caltech-256 (c and b), synset of ImageNet (i)
CLASSES = {
    "aeroplane": ("airplane", "251", "n02691156"),
    "bike": ("bicycle", "146", "224", "n02834778"),
    "bird": ("bird", "113", "n01503061"),
    "boat": ("boat", "197", "n02858304"),
    "bottle": ("bottle", "246", "n02876657"),
    "bus": ("bus", "178", "n02924116"),
    "car": ("car", "252", "n02958343"),
    "dog": ("dog", "056", "n02084071"),
    "horse": ("horse", "105", "n02374451"),
    "monitor": ("computer monitor", "046", "n03782190"),
    "motorbike": ("motorbike", "145", "n03790512"),
    "people": ("person", "159", "n07942152"),
}
# Pascal pictures that show two of the classes, and that the list has under both.
TWICE = (
    "2008_006145",
    "2008_006483",
    "2009_001106",
    "2010_000947",
    "2010_001403",
    "2010_003912",
    "2011_001901",
    "2011_002598",
    "2011_003114",
)

PHOTOS = Photos(
    name="imageclef_da",
    title="ImageCLEF-DA",
    source="https://drive.google.com/file/d/0B9kJH0-rJ2uRS3JILThaQXJhQlk/view, which https://github.com/thuml/CDAN links (for research; "
    "the pictures have the terms of ImageNet, Caltech-256, Pascal VOC and their authors)",
    layout="imageclef_da/i/n02691156_7563.JPEG and imageclef_da/i_list.txt or imageclef_da/list/iList.txt, …",
    classes={folder: about[0] for folder, about in CLASSES.items()},
    domains=(
        Domain("i", "I", "ImageNet, 600", (50,) * 12, ("imagenet",), ("imagenet",)),
        Domain("c", "C", "Caltech-256, 600", (50,) * 12, ("caltech", "caltech256"), ("caltech",)),
        Domain("p", "P", "Pascal VOC 2012, 600", (50,) * 12, ("pascal", "voc"), ("pascal",)),
        Domain("b", "B", "Bing, 600", (50,) * 12, ("bing",), ("bing",)),
    ),
    lists=("{name}_list.txt", "list/{name}List.txt"),
    listed=True,
    signs={sign: folder for folder, about in CLASSES.items() for sign in about[1:]},
    twice=frozenset(f"{name}.jpg" for name in TWICE),
)
CLASS_NAMES = PHOTOS.class_names


def load(domain: str = "", size: int = 224) -> Target:
    """The domain `i`, `c`, `p` or `b`. Errors: InputError with all that is wrong with its folder and its list files."""
    return _check.target(PHOTOS, domain, size)


def report(domain: str) -> _check.Report:
    """Counts of each class, and all that is wrong with the domain's folder and its list files."""
    return _check.report(PHOTOS, domain)
