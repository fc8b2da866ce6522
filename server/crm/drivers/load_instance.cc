#include "server/crm/drivers/load_instance.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/config/store.h"

extern char** environ;

namespace om {
namespace {

constexpr absl::string_view kSession = "OSVC_SESSION_UUID=";

absl::Status WriteId(const ObjectPath& path, const Roots& roots) {
  const ConfigTarget target = ConfigTarget::Object(path);
  const ConfigStore store(roots);
  ASSIGN_OR_RETURN(const StoredConfig stored, store.Read(target));
  const absl::StatusOr<EditResult> edited =
      store.Edit(target, {ConfigEdit::Set("id", NewUuid())}, stored.revision);
  // Another process was faster: its id is as good.
  if (absl::IsAborted(edited.status())) return absl::OkStatus();
  return Annotate(edited.status(), "writing DEFAULT.id");
}

EvaluationContext ContextOf(const ObjectPath& path, const Roots& roots, const std::string& node,
                            const LoadedConfig& config) {
  EvaluationContext context;
  context.nodename = node;
  context.roots = roots;
  context.path = path;
  context.cluster = config.settings.Cluster();
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(*variable, absl::MaxSplits('=', 1));
    context.environment.insert(parts);
  }
  for (const Document* document : {&config.documents.cluster, &config.documents.node}) {
    for (const Document::Value& entry : document->Entries("node")) {
      context.node_keywords[entry.key] = entry.text;
    }
  }
  return context;
}

}  // namespace

std::string LocalNodeName() {
  if (const char* name = getenv("OMD_NODENAME"); name != nullptr && *name != '\0') {
    return absl::AsciiStrToLower(name);
  }
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return absl::AsciiStrToLower(name);
}

std::string NewUuid() {
  char text[37] = {};
  const UniqueFd fd(open("/proc/sys/kernel/random/uuid", O_RDONLY | O_CLOEXEC));
  const ssize_t size = read(fd.get(), text, 36);
  return size == 36 ? text : "";
}

absl::StatusOr<EvaluationContext> MakeContext(const ObjectPath& path, const Roots& roots,
                                              const std::string& node) {
  ASSIGN_OR_RETURN(const LoadedConfig config, LoadNodeConfig(roots, LocalNodeName()));
  return ContextOf(path, roots, node, config);
}

absl::StatusOr<LoadedObject> LoadObject(const ObjectPath& path, const Roots& roots,
                                        const std::string& node, const LoadOptions& options) {
  ASSIGN_OR_RETURN(const LoadedConfig config, LoadNodeConfig(roots, node));
  EvaluationContext context = ContextOf(path, roots, node, config);
  const std::string file = path.ConfigFile(roots);
  LoadedObject loaded;
  Instance& instance = loaded.instance;
  ASSIGN_OR_RETURN(loaded.config_mtime, ModificationTime(file));
  ASSIGN_OR_RETURN(Document document, ReadDocument(file));
  ASSIGN_OR_RETURN(instance.settings, ObjectSettings::Load(std::move(document), context));
  // cluster.conf has no section DEFAULT.
  if (instance.settings.id.empty() && path.kind() != "ccfg" && !options.read_only) {
    RETURN_IF_ERROR(WriteId(path, roots));
    ASSIGN_OR_RETURN(loaded.config_mtime, ModificationTime(file));
    ASSIGN_OR_RETURN(document, ReadDocument(file));
    ASSIGN_OR_RETURN(instance.settings,
                     ObjectSettings::Load(std::move(document), std::move(context)));
  }
  instance.roots = roots;
  instance.node = node;
  instance.node_env = config.settings.env;
  instance.action = options.action;

  std::string session;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (absl::StartsWith(*variable, kSession)) {
      if (options.is_child) session = *variable + kSession.size();
      continue;
    }
    instance.own_environment.emplace_back(*variable);
    if (!absl::StartsWith(*variable, "OPENSVC_")) instance.environment.emplace_back(*variable);
  }
  if (session.empty()) session = NewUuid();
  const auto add = [&instance](absl::string_view name, absl::string_view value) {
    instance.environment.push_back(absl::StrCat(name, "=", value));
  };
  add("OPENSVC_SVCNAME", path.name());
  add("OPENSVC_SVCPATH", path.ToString());
  add("OPENSVC_SVC_ID", instance.settings.id);
  if (!path.in_root()) add("OPENSVC_NAMESPACE", path.ns());
  if (!instance.action.empty()) add("OPENSVC_ACTION", instance.action);
  add("OPENSVC_LEADER", options.leader ? "1" : "0");
  instance.environment.push_back(absl::StrCat(kSession, session));
  instance.own_environment.push_back(absl::StrCat(kSession, session));
  return loaded;
}

}  // namespace om
