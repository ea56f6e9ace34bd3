"""How Hydra reads YAML files here: keys may have their former names.

Both classes are Hydra plugins of documented kinds; `register_plugins` makes them known to it.
"""

import builtins
from pathlib import Path

import yaml
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from xaiprune.config.paths import conf_dir
from xaiprune.config.renamed import accept_names
from xaiprune.errors import XaipruneError

SCHEME = "xaiprune"


class YamlFolder(ConfigSource):
    """A folder of YAML files (``xaiprune://FOLDER``), whose keys may have their former names."""

    @staticmethod
    def scheme() -> str:
        """What its addresses begin with."""
        return SCHEME

    def load_config(self, config_path: str) -> ConfigResult:
        """Read one file.

        Raises:
            ConfigLoadError: There is none.
            XaipruneError: It is no YAML.
        """
        file = self._file(config_path)
        if not file.is_file():
            raise ConfigLoadError(f"no such file: {file}")
        header = self._get_header_dict(file.read_text(encoding="utf-8"))
        try:
            content = OmegaConf.to_container(OmegaConf.load(file))
        except (yaml.YAMLError, OSError) as error:  # OSError: a single number or word
            raise XaipruneError(f"{file} cannot be read: {' '.join(str(error).split())}") from error
        package = header["package"]
        if package in (None, "_group_"):
            package = config_path.rpartition("/")[0].replace("/", ".")
        prefix = f"{package}.".removeprefix("_global_.").removeprefix(".")
        return ConfigResult(
            provider=self.provider,
            path=self.full_path(),
            config=OmegaConf.create(accept_names(content, prefix)),
            header=header,
        )

    def available(self) -> bool:
        """Whether the folder is there."""
        return self.is_group("")

    def is_group(self, config_path: str) -> bool:
        """Whether a folder within it has this name."""
        return Path(self.path, config_path).is_dir()

    def is_config(self, config_path: str) -> bool:
        """Whether a file within it has this name (without its ending)."""
        return self._file(config_path).is_file()

    def list(self, config_path: str, results_filter: ObjectType | None) -> builtins.list[str]:
        """Names of groups, files, or both (None) in a folder within it."""
        found: builtins.list[str] = []
        for entry in Path(self.path, config_path).iterdir():
            place = f"{config_path}/{entry.name}" if config_path else entry.name
            self._list_add_result(found, place, entry.name, results_filter)
        return sorted(set(found))

    def _file(self, config_path: str) -> Path:
        return Path(self.path, self._normalize_file_name(config_path))


class OwnFolder(SearchPathPlugin):
    """Reads conf/ as a `YamlFolder`, too: people put experiments of their own there."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Change the address of conf/ in a search path."""
        for element in search_path.get_path():
            if element.path.removeprefix("file://") == str(conf_dir()):
                element.path = address_of(conf_dir())


def register_plugins() -> None:
    """Make both known to Hydra in this process; a second time changes nothing."""
    for plugin in (YamlFolder, OwnFolder):
        Plugins.instance().register(plugin)


def address_of(folder: str | Path) -> str:
    """A folder of YAML files as Hydra's search path takes it."""
    return f"{SCHEME}://{Path(folder).expanduser().resolve()}"
