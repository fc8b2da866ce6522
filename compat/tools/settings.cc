#include "compat/tools/settings.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/base/file.h"
#include "server/base/status.h"

namespace om {
namespace {

constexpr size_t kMaxConfigurationBytes = size_t{1} << 20;

}  // namespace

IniValues ParseIni(absl::string_view text) {
  IniValues values;
  std::string section;
  std::string* last = nullptr;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const bool indented = !line.empty() && absl::ascii_isspace(static_cast<unsigned char>(line[0]));
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (indented && last != nullptr) {
      absl::StrAppend(last, "\n", line);
      continue;
    }
    last = nullptr;
    if (line.front() == '[' && line.back() == ']') {
      section = std::string(line.substr(1, line.size() - 2));
      continue;
    }
    const size_t separator = line.find_first_of("=:");
    if (separator == absl::string_view::npos) continue;
    const std::string key =
        absl::AsciiStrToLower(absl::StripAsciiWhitespace(line.substr(0, separator)));
    last = &values[absl::StrCat(section, ".", key)];
    *last = std::string(absl::StripAsciiWhitespace(line.substr(separator + 1)));
  }
  return values;
}

absl::StatusOr<ClientSettings> ReadClientSettings(const std::string& root) {
  const std::string etc = root.empty() ? "/etc/opensvc" : root + "/etc";
  const std::string var = root.empty() ? "/var/lib/opensvc" : root + "/var";
  IniValues values;
  for (const char* name : {"cluster.conf", "node.conf"}) {
    const absl::StatusOr<FileContent> file =
        ReadFile(absl::StrCat(etc, "/", name), kMaxConfigurationBytes);
    if (absl::IsNotFound(file.status())) continue;
    RETURN_IF_ERROR(file.status());
    for (auto& [key, value] : ParseIni(file->text)) values[key] = value;
  }
  ClientSettings settings;
  settings.clustername = absl::AsciiStrToLower(values["cluster.name"]);
  settings.secret = values["cluster.secret"];
  settings.socket_path = var + "/lsnr/lsnr.sock";
  if (const std::string& port = values["listener.port"]; !port.empty()) {
    int number = 0;
    if (!absl::SimpleAtoi(port, &number) || number < 1 || number > 65535) {
      return absl::InvalidArgumentError(absl::StrCat("listener.port in ", etc, "/node.conf is \"",
                                                     port, "\": expected 1 to 65535"));
    }
    settings.port = static_cast<uint16_t>(number);
  }
  return settings;
}

}  // namespace om
