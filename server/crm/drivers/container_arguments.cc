#include "server/crm/drivers/container_arguments.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "server/base/status.h"

namespace om {
namespace {

absl::StatusOr<std::string> Text(const Instance& instance, const ResourceSettings& resource,
                                 absl::string_view keyword) {
  ASSIGN_OR_RETURN(const std::optional<std::string> value,
                   instance.settings.Get(resource.rid, keyword));
  return value.value_or("");
}

absl::Status BadWord(const ResourceSettings& resource, absl::string_view keyword,
                     absl::string_view expected, absl::string_view found) {
  return absl::InvalidArgumentError(absl::StrCat(resource.rid, ".", keyword, ": expected ",
                                                 expected, ", found \"", absl::CHexEscape(found),
                                                 "\""));
}

// "host", "none" and the like as they are; the rid of a container as that container.
absl::StatusOr<std::string> NamespaceArgument(const Instance& instance,
                                              const ResourceSettings& resource,
                                              absl::string_view keyword) {
  ASSIGN_OR_RETURN(std::string value, Text(instance, resource, keyword));
  if (!absl::StartsWith(value, "container#")) return value;
  const ResourceSettings* const other = instance.settings.FindResource(value);
  if (other == nullptr) return BadWord(resource, keyword, "a resource of the service", value);
  ASSIGN_OR_RETURN(const std::string name, ContainerName(instance, *other));
  return absl::StrCat("container:", name);
}

// Whether a variable of the docker or podman program itself would change what it does.
bool MeansSomethingToTheProgram(absl::string_view name) {
  if (name == "PATH" || name == "HOME" || name == "LC_ALL" || name == "TMPDIR") return true;
  for (const char* prefix : {"DOCKER_", "CONTAINER", "BUILDAH_", "LD_", "XDG_", "REGISTRY_"}) {
    if (absl::StartsWith(name, prefix)) return true;
  }
  return absl::EndsWith(name, "_PROXY");
}

struct RunWords {
  std::vector<std::string> words;
  bool has_network = false;
};

// `run_args` without what the driver decides itself: were the name another, the container would
// never be found again.
absl::StatusOr<RunWords> ExtraWords(const Instance& instance, const ResourceSettings& resource) {
  absl::StatusOr<std::vector<std::string>> words =
      instance.settings.GetShlex(resource.rid, "run_args");
  if (!words.ok()) return Annotate(words.status(), absl::StrCat(resource.rid, ".run_args"));
  RunWords extra;
  for (size_t i = 0; i < words->size(); ++i) {
    const std::string& word = (*words)[i];
    if (word == "--name") {
      ++i;
      continue;
    }
    const bool decided = word == "-d" || word == "--detach" || word == "--rm" ||
                         absl::StartsWith(word, "--name=") || absl::StartsWith(word, "--rm=") ||
                         absl::StartsWith(word, "--detach=");
    if (decided) continue;
    for (const char* option : {"--net", "--network"}) {
      extra.has_network =
          extra.has_network || word == option || absl::StartsWith(word, absl::StrCat(option, "="));
    }
    extra.words.push_back(word);
  }
  return extra;
}

absl::Status AddMounts(const Instance& instance, const ResourceSettings& resource,
                       std::vector<std::string>* words) {
  ASSIGN_OR_RETURN(const std::vector<std::string> mounts,
                   instance.settings.GetShlex(resource.rid, "volume_mounts"));
  for (const std::string& mount : mounts) {
    const std::vector<std::string> parts = absl::StrSplit(mount, ':');
    if (parts.size() < 2 || parts.size() > 3 || !absl::StartsWith(parts[1], "/")) {
      return BadWord(resource, "volume_mounts",
                     "<host directory>:<path in the container>[:<options>]", mount);
    }
    if (!absl::StartsWith(parts[0], "/")) {
      return absl::UnimplementedError(absl::StrCat(
          resource.rid, ".volume_mounts: \"", parts[0],
          "\" is a volume, which omcrm does not have; set crm.command of node.conf to a resource "
          "manager that has them, or name a directory of the host"));
    }
    words->insert(words->end(), {"-v", mount});
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> devices,
                   instance.settings.GetShlex(resource.rid, "devices"));
  for (const std::string& device : devices) {
    if (!absl::StartsWith(device, "/")) {
      return BadWord(resource, "devices", "<host device>:<path in the container>", device);
    }
    words->insert(words->end(), {"--device", device});
  }
  return absl::OkStatus();
}

absl::Status AddVariables(const Instance& instance, const ResourceSettings& resource,
                          RunArguments* arguments) {
  ASSIGN_OR_RETURN(std::vector<Variable> variables, ConfiguredVariables(instance, resource));
  for (Variable& variable : variables) {
    if (!variable.held) {
      arguments->words.insert(arguments->words.end(),
                              {"-e", absl::StrCat(variable.name, "=", variable.value)});
      continue;
    }
    if (MeansSomethingToTheProgram(variable.name)) {
      return absl::InvalidArgumentError(absl::StrCat(
          resource.rid, ": a variable ", variable.name,
          " cannot come from an object: the program that runs the container would take it for "
          "itself"));
    }
    // Without a value it is taken from the program's own environment.
    arguments->words.insert(arguments->words.end(), {"-e", variable.name});
    arguments->variables.push_back(std::move(variable));
  }
  return absl::OkStatus();
}

}  // namespace

std::string ContainerId(const Instance& instance, const ResourceSettings& resource) {
  return absl::StrCat(instance.settings.id, ".", resource.rid);
}

absl::StatusOr<std::string> ContainerName(const Instance& instance,
                                          const ResourceSettings& resource) {
  ASSIGN_OR_RETURN(std::string name, Text(instance, resource, "name"));
  if (name.empty()) {
    const ObjectPath& path = instance.settings.path;
    name = absl::StrCat(path.in_root() ? "" : absl::StrCat(path.ns(), ".."), path.name(), ".",
                        absl::StrReplaceAll(resource.rid, {{"#", "."}}));
  }
  bool good = absl::ascii_isalnum(static_cast<unsigned char>(name[0])) != 0;
  for (const char c : name) {
    good = good && (absl::ascii_isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' ||
                    c == '_' || c == '-');
  }
  if (!good) return BadWord(resource, "name", "letters, digits, dots, underscores, hyphens", name);
  return name;
}

absl::StatusOr<RunArguments> MakeRunArguments(const Instance& instance,
                                              const ResourceSettings& resource) {
  const ObjectSettings& settings = instance.settings;
  RunArguments arguments;
  std::vector<std::string>& words = arguments.words;
  ASSIGN_OR_RETURN(const std::string name, ContainerName(instance, resource));
  ASSIGN_OR_RETURN(const std::string image, Text(instance, resource, "image"));
  if (image.empty() || image[0] == '-') return BadWord(resource, "image", "an image", image);
  ASSIGN_OR_RETURN(arguments.detach, settings.GetBoolean(resource.rid, "detach", true));
  ASSIGN_OR_RETURN(arguments.remove, settings.GetBoolean(resource.rid, "rm"));
  // One that is run to its end has nothing to be started again.
  arguments.remove = arguments.remove || !arguments.detach;
  words = {"run", "--name", name};
  if (arguments.detach) words.emplace_back("-d");
  if (arguments.remove) words.emplace_back("--rm");
  const ObjectPath& path = settings.path;
  for (const auto& [label, value] :
       {std::make_pair("id", ContainerId(instance, resource)),
        std::make_pair("path", path.ToString()), std::make_pair("namespace", path.ns()),
        std::make_pair("kind", path.kind()), std::make_pair("name", path.name()),
        std::make_pair("rid", resource.rid)}) {
    words.insert(words.end(), {"--label", absl::StrCat("com.opensvc.", label, "=", value)});
  }
  ASSIGN_OR_RETURN(const RunWords extra, ExtraWords(instance, resource));
  for (const auto& [keyword, option] :
       {std::make_pair("hostname", "--hostname"), std::make_pair("netns", "--net"),
        std::make_pair("pidns", "--pid"), std::make_pair("ipcns", "--ipc"),
        std::make_pair("utsns", "--uts"), std::make_pair("userns", "--userns"),
        std::make_pair("entrypoint", "--entrypoint")}) {
    ASSIGN_OR_RETURN(std::string value, NamespaceArgument(instance, resource, keyword));
    // A network of its own, which addresses can be given to, unless another is asked for.
    const bool network = absl::string_view(keyword) == "netns";
    if (network && value.empty() && !extra.has_network) value = "none";
    if (!value.empty()) words.insert(words.end(), {option, value});
  }
  for (const auto& [keyword, option] :
       {std::make_pair("privileged", "--privileged"),
        std::make_pair("interactive", "--interactive"), std::make_pair("tty", "--tty")}) {
    ASSIGN_OR_RETURN(const bool wanted, settings.GetBoolean(resource.rid, keyword));
    if (wanted) words.emplace_back(option);
  }
  RETURN_IF_ERROR(AddMounts(instance, resource, &words));
  RETURN_IF_ERROR(AddVariables(instance, resource, &arguments));
  words.insert(words.end(), extra.words.begin(), extra.words.end());
  words.push_back(image);
  absl::StatusOr<std::vector<std::string>> command = settings.GetShlex(resource.rid, "command");
  if (!command.ok()) return Annotate(command.status(), absl::StrCat(resource.rid, ".command"));
  words.insert(words.end(), command->begin(), command->end());
  return arguments;
}

}  // namespace om
