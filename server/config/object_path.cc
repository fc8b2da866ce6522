#include "server/config/object_path.h"

#include <algorithm>
#include <array>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace om {
namespace {

constexpr std::array<absl::string_view, 6> kKinds = {"svc", "vol", "cfg", "sec", "usr", "ccfg"};

bool IsKind(absl::string_view text) {
  return std::find(kKinds.begin(), kKinds.end(), text) != kKinds.end();
}

// Long names are cut in messages: they come from packets.
std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"", absl::CHexEscape(text.substr(0, 80)), text.size() > 80 ? "..." : "",
                      "\"");
}

// "3." of "3.web", or nothing.
absl::string_view SlicePrefix(absl::string_view name) {
  size_t digits = 0;
  while (digits < name.size() && absl::ascii_isdigit(static_cast<unsigned char>(name[digits]))) {
    ++digits;
  }
  if (digits == 0 || digits == name.size() || name[digits] != '.') return {};
  return name.substr(0, digits + 1);
}

// Starts with a letter, ends with a letter or digit, hyphens (and dots, where allowed) between;
// never two dots in a row.
bool IsWord(absl::string_view text, bool dots) {
  if (text.empty()) return false;
  if (!absl::ascii_isalpha(static_cast<unsigned char>(text.front()))) return false;
  if (!absl::ascii_isalnum(static_cast<unsigned char>(text.back()))) return false;
  char previous = 0;
  for (const char c : text) {
    const bool fits = absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' ||
                      (dots && c == '.' && previous != '.');
    if (!fits) return false;
    previous = c;
  }
  return true;
}

absl::Status Refused(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("object path ", Quoted(text), " is not [<namespace>/<kind>/]<name>: ", why));
}

}  // namespace

absl::StatusOr<ObjectPath> ObjectPath::Parse(absl::string_view text) {
  return ParseRelative(text, "root");
}

absl::StatusOr<ObjectPath> ObjectPath::ParseRelative(absl::string_view text, absl::string_view ns) {
  if (text.empty()) return Refused(text, "it is empty");
  if (text.size() > kMaxNameBytes + kMaxNamespaceBytes + 10) {
    return Refused(text, "it is too long");
  }
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '/');
  if (parts.size() > 3) return Refused(text, "it has more than three parts");
  const absl::string_view name = parts.back();
  absl::string_view kind = "svc";
  if (parts.size() > 1) {
    kind = parts[parts.size() - 2];
  } else if (name == "cluster") {
    kind = "ccfg";
  }
  if (parts.size() == 3 || kind == "ccfg") ns = parts.size() == 3 ? parts[0] : "root";
  if (ns.empty() && parts.size() < 3) ns = "root";

  if (!IsKind(kind)) {
    return Refused(text, absl::StrCat("the kind is ", Quoted(kind),
                                      ", expected svc, vol, cfg, sec, usr or ccfg"));
  }
  if (!IsWord(ns, /*dots=*/false) || ns.size() > kMaxNamespaceBytes) {
    return Refused(text, absl::StrCat("a namespace has at most ", kMaxNamespaceBytes,
                                      " letters, digits and hyphens, the first a letter, the last "
                                      "a letter or digit"));
  }
  if (name == "node" || name == "auth") return Refused(text, "this name is reserved");
  if (name.size() > kMaxNameBytes || !IsWord(name.substr(SlicePrefix(name).size()), true)) {
    return Refused(text, absl::StrCat("a name has at most ", kMaxNameBytes,
                                      " letters, digits, hyphens and dots, the first a letter "
                                      "(after an optional \"<number>.\"), the last a letter or "
                                      "digit"));
  }
  if (kind == "ccfg" && (name != "cluster" || ns != "root")) {
    return Refused(text, "\"cluster\" is the only object of kind ccfg");
  }
  // <etc>/cluster.conf is the cluster's: a service of that name would share the file.
  if (name == "cluster" && kind == "svc" && ns == "root")
    return ObjectPath("root", "ccfg", "cluster");
  return ObjectPath(std::string(ns), std::string(kind), std::string(name));
}

std::string ObjectPath::ToString() const {
  if (!in_root()) return empty() ? "" : absl::StrCat(ns_, "/", kind_, "/", name_);
  if (kind_ == "svc" || kind_ == "ccfg") return name_;
  return absl::StrCat(kind_, "/", name_);
}

std::string ObjectPath::Fqdn(absl::string_view cluster_name) const {
  return absl::StrCat(name_, ".", ns_, ".", kind_, ".", cluster_name);
}

absl::string_view ObjectPath::ScalerName() const {
  absl::string_view name = name_;
  name.remove_prefix(SlicePrefix(name).size());
  return name;
}

std::string ObjectPath::Below(absl::string_view root, absl::string_view extension) const {
  if (!in_root()) {
    return absl::StrCat(root, "/namespaces/", ns_, "/", kind_, "/", name_, extension);
  }
  if (kind_ == "svc" || kind_ == "ccfg") return absl::StrCat(root, "/", name_, extension);
  return absl::StrCat(root, "/", kind_, "/", name_, extension);
}

std::string ObjectPath::ConfigFile(const Roots& roots) const { return Below(roots.etc, ".conf"); }

std::string ObjectPath::StateDir(const Roots& roots) const {
  if (in_root()) return absl::StrCat(roots.var, "/", kind_, "/", name_);
  return Below(roots.var, "");
}

std::string ObjectPath::LogFile(const Roots& roots) const { return Below(roots.log, ".log"); }

std::string ObjectPath::ScriptDir(const Roots& roots) const { return Below(roots.etc, ".d"); }

}  // namespace om
