"""The data sets and the sources of their files. Without torch, so that `amulet data` is fast."""

from amulet.datasets.info import DatasetInfo, Download

_FMNIST = "FashionMNIST/raw"  # in torchvision's layout
_FMNIST_HOSTS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
)


def _fmnist(name: str, md5: str, size: int) -> Download:
    urls = tuple(f"{host}/{name}" for host in _FMNIST_HOSTS)
    return Download(path=f"{_FMNIST}/{name}", urls=urls, checksum=f"md5:{md5}", size=size)


def _drive(path: str, number: str, md5: str, *, archive: bool = False) -> Download:
    url = f"https://drive.google.com/uc?export=download&id={number}"
    return Download(path=path, urls=(url,), checksum=f"md5:{md5}", archive=archive)


CENSUS = DatasetInfo(
    name="census",
    title="UCI Adult (1994 US census income): 46,447 records, 42 columns",
    licence="CC BY 4.0",
    source="Becker and Kohavi, 1996, doi 10.24432/C5XW20",
    size="444 KB",
    embedded=True,
    files={
        "adult.data": "sha256:5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
        "adult.test": "sha256:a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
    },
)
FMNIST = DatasetInfo(
    name="fmnist",
    title="Fashion-MNIST: 60,000 + 10,000 grey pictures of clothing, 28 x 28, 10 classes",
    licence="MIT",
    source="Xiao, Rasul and Vollgraf, 2017, arXiv:1708.07747",
    size="31 MB",
    # Of the decompressed bytes: compressing them again, as Debian does, changes the others.
    files={
        f"{_FMNIST}/train-images-idx3-ubyte.gz": "md5:f4a8712d7a061bf5bd6d2ca38dc4d50a",
        f"{_FMNIST}/train-labels-idx1-ubyte.gz": "md5:9018921c3c673c538a1fc5bad174d6f9",
        f"{_FMNIST}/t10k-images-idx3-ubyte.gz": "md5:8181f5470baa50b63fa0f6fddb340f0a",
        f"{_FMNIST}/t10k-labels-idx1-ubyte.gz": "md5:15d484375f8d13e6eb1aabb0c3f46965",
    },
    downloads=(
        _fmnist("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26_421_880),
        _fmnist("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe", 29_515),
        _fmnist("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79", 4_422_102),
        _fmnist("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310", 5_148),
    ),
    system=("/usr/share/datasets/fashion-mnist",),
    by_hand="the four *-ubyte.gz files are at https://github.com/zalandoresearch/fashion-mnist under data/fashion, "
    "and in Debian's package dataset-fashion-mnist",
)
CIFAR10 = DatasetInfo(
    name="cifar10",
    title="CIFAR-10: 50,000 + 10,000 colour pictures, 32 x 32, 10 classes",
    licence="none stated",
    source="Krizhevsky, 2009, https://www.cs.toronto.edu/~kriz/cifar.html",
    size="171 MB",
    files={
        "cifar-10-batches-py/data_batch_1": "md5:c99cafc152244af753f735de768cd75f",
        "cifar-10-batches-py/data_batch_2": "md5:d4bba439e000b95fd0a9bffe97cbabec",
        "cifar-10-batches-py/data_batch_3": "md5:54ebc095f3ab1f0389bbae665268c751",
        "cifar-10-batches-py/data_batch_4": "md5:634d18415352ddfa80567beed471001a",
        "cifar-10-batches-py/data_batch_5": "md5:482c414d41f54cd18b22e5b47cb7c3cb",
        "cifar-10-batches-py/test_batch": "md5:40351d587109b95175f43aff81a1287e",
    },
    downloads=(
        Download(
            path="cifar-10-python.tar.gz",
            urls=(
                "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                "https://dataset.bj.bcebos.com/cifar/cifar-10-python.tar.gz",
            ),
            checksum="md5:c58f30108f718f92721af3b95e74349a",
            size=170_498_071,
            archive=True,
        ),
    ),
    by_hand="cifar-10-python.tar.gz, packed or unpacked, is at https://www.cs.toronto.edu/~kriz/cifar.html (the Python "
    "version)",
)
LFW = DatasetInfo(
    name="lfw",
    title="Labeled Faces in the Wild: 13,233 photographs of 5,749 people, 62 x 47 in colour, with 73 attributes",
    licence="none stated; meant for research",
    source="Huang, Ramesh, Berg and Learned-Miller, 2007; attributes: Kumar, Berg, Belhumeur and Nayar, ICCV 2009",
    size="240 MB",
    files={"lfw_home/lfw_funneled/": "", "lfw_home/lfw_attributes.txt": ""},
    downloads=(
        Download(
            path="lfw_home/lfw-funneled.tgz",
            urls=(
                "https://ndownloader.figshare.com/files/5976015",
                "http://vis-www.cs.umass.edu/lfw/lfw-funneled.tgz",
            ),
            checksum="sha256:b47c8422c8cded889dc5a13418c4bc2abbda121092b3533a83306f90d900100a",
            archive=True,
            provides=("lfw_home/lfw_funneled/",),
        ),
        Download(
            path="lfw_home/lfw_attributes.txt",
            urls=("https://www.cs.columbia.edu/CAVE/databases/pubfig/download/lfw_attributes.txt",),
            checksum=None,  # the authors publish no checksum
        ),
    ),
    by_hand="unpack lfw-funneled.tgz of http://vis-www.cs.umass.edu/lfw into its lfw_home folder, or copy the lfw_home "
    "of scikit-learn's data folder, and put lfw_attributes.txt of https://www.cs.columbia.edu/CAVE/databases/pubfig "
    "beside it",
)
CELEBA = DatasetInfo(
    name="celeba",
    title="CelebA, aligned and cropped: 202,599 photographs of 10,177 celebrities with 40 attributes",
    licence="for non-commercial research; no copies",
    source="Liu, Luo, Wang and Tang, ICCV 2015; https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    size="1.4 GB",
    files={
        "celeba/img_align_celeba/": "",
        "celeba/list_attr_celeba.txt": "md5:75e246fa4810816ffd6ee81facbd244c",
        "celeba/list_eval_partition.txt": "md5:d32c9cbf5e040fd4025c592c306e6668",
    },
    # The files and checksums are those of torchvision.datasets.CelebA.
    downloads=(
        _drive("celeba/list_attr_celeba.txt", "0B7EVK8r0v71pblRyaVFSWGxPY0U", "75e246fa4810816ffd6ee81facbd244c"),
        _drive("celeba/list_eval_partition.txt", "0B7EVK8r0v71pY0NSMzRuSXJEVkk", "d32c9cbf5e040fd4025c592c306e6668"),
        _drive(
            "celeba/img_align_celeba.zip",
            "0B7EVK8r0v71pZjFTYXZWM3FlRnM",
            "00d2c5bc6d35e252742224ab0c1e8fcb",
            archive=True,
        ),
    ),
    by_hand="get list_attr_celeba.txt, list_eval_partition.txt and img_align_celeba.zip from "
    "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, unpack the latter, and put all three into its celeba folder",
)

CATALOG = {info.name: info for info in (CENSUS, FMNIST, CIFAR10, LFW, CELEBA)}
"""Every named data set, by name."""
