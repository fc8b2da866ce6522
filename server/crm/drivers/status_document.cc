#include "server/crm/drivers/status_document.h"

#include <stdio.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/base/clock.h"
#include "server/crm/drivers/md5.h"

namespace om {
namespace {

constexpr const char* kGroups[] = {"ip",        "volume", "disk", "fs",  "share",
                                   "container", "app",    "sync", "task"};

std::string Text(absl::string_view text) { return std::string(text); }

void AppendHex(std::string* out, const char* format, uint32_t value) {
  char text[16];
  snprintf(text, sizeof text, format, value);
  out->append(text);
}

// The code point at `*at` of valid UTF-8, which it moves behind. What is not valid counts byte by
// byte.
uint32_t NextCodePoint(const std::string& text, size_t* at) {
  const auto byte = [&text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(*at);
  const size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (length == 1 || first < 0xc0 || *at + length > text.size()) return byte((*at)++);
  uint32_t point = first & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; ++i) point = (point << 6) | (byte(*at + i) & 0x3fu);
  *at += length;
  return point;
}

// Python's repr() of a string: single quotes unless only those are inside. Of what is not ASCII
// only the C1 controls, the no-break space and the soft hyphen are taken as not printable.
std::string PythonRepr(const std::string& text) {
  const bool double_quoted = absl::StrContains(text, '\'') && !absl::StrContains(text, '"');
  const char quote = double_quoted ? '"' : '\'';
  std::string repr(1, quote);
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const uint32_t point = NextCodePoint(text, &at);
    if (point == static_cast<uint32_t>(quote) || point == '\\') {
      repr.push_back('\\');
      repr.push_back(static_cast<char>(point));
    } else if (point == '\n') {
      repr += "\\n";
    } else if (point == '\r') {
      repr += "\\r";
    } else if (point == '\t') {
      repr += "\\t";
    } else if (point < 0x20 || (point >= 0x7f && point <= 0xa0) || point == 0xad) {
      AppendHex(&repr, "\\x%02x", point);
    } else {
      repr.append(text, begin, at - begin);
    }
  }
  repr.push_back(quote);
  return repr;
}

// Python's repr() of a float: the shortest text that reads back as the same number.
std::string PythonRepr(double number) {
  char text[64];
  const double magnitude = std::fabs(number);
  const bool fixed = number == 0 || (magnitude >= 1e-4 && magnitude < 1e16);
  const auto end = std::to_chars(text, text + sizeof text, number,
                                 fixed ? std::chars_format::fixed : std::chars_format::scientific);
  std::string repr(text, end.ptr);
  if (fixed && !absl::StrContains(repr, '.')) repr += ".0";
  return repr;
}

void AppendLeaves(const Json& value, std::string* out) {
  static constexpr absl::string_view kSkipped[] = {"status_updated", "updated", "mtime", "csum"};
  if (value.is_object()) {
    std::map<std::string, const Json*> sorted;
    for (const auto& [key, member] : value.items()) sorted[key] = &member;
    for (const auto& [key, member] : sorted) {
      if (std::find(std::begin(kSkipped), std::end(kSkipped), key) == std::end(kSkipped)) {
        AppendLeaves(*member, out);
      }
    }
  } else if (value.is_array()) {
    for (const Json& element : value) AppendLeaves(element, out);
  } else if (value.is_string()) {
    out->append(PythonRepr(value.get_ref<const std::string&>()));
  } else if (value.is_boolean()) {
    out->append(value.get<bool>() ? "True" : "False");
  } else if (value.is_null()) {
    out->append("None");
  } else if (value.is_number_float()) {
    out->append(PythonRepr(value.get<double>()));
  } else {
    out->append(value.dump());
  }
}

Availability StateOf(const Json& document, const char* key) {
  const auto it = document.find(key);
  if (it == document.end() || !it->is_string()) return Availability::kUndef;
  return ParseAvailability(it->get_ref<const std::string&>()).value_or(Availability::kUndef);
}

Json RelationTexts(const std::vector<ObjectRelation>& relations) {
  Json texts = Json::array();
  for (const ObjectRelation& relation : relations) {
    texts.push_back(relation.node.empty()
                        ? relation.path.ToString()
                        : absl::StrCat(relation.path.ToString(), "@", relation.node));
  }
  return texts;
}

Json ResourceJson(const ResourceSettings& resource, const ResourceReport& report, bool disabled) {
  Json json = {{"status", Text(AvailabilityName(report.status))},
               {"type", report.type},
               {"label", report.label}};
  if (report.provisioned.has_value()) {
    json["provisioned"] = {{"state", *report.provisioned}};
    if (report.provisioned_mtime.has_value())
      json["provisioned"]["mtime"] = *report.provisioned_mtime;
  }
  if (disabled) json["disable"] = true;
  if (resource.standby) json["standby"] = true;
  if (resource.encap) json["encap"] = true;
  if (resource.optional) json["optional"] = true;
  if (resource.monitor) json["monitor"] = true;
  if (resource.restart > 0) json["restart"] = resource.restart;
  if (!report.log.empty()) {
    Json log = Json::array();
    for (const auto& [level, text] : report.log) log.push_back(absl::StrCat(level, ": ", text));
    json["log"] = std::move(log);
  }
  if (report.info.is_object() && !report.info.empty()) json["info"] = report.info;
  if (!resource.tags.empty()) {
    const std::set<std::string> tags(resource.tags.begin(), resource.tags.end());
    json["tags"] = tags;
  }
  if (!resource.subset.empty()) json["subset"] = resource.subset;
  return json;
}

Json ParallelSubsets(const ObjectSettings& settings) {
  Json subsets = Json::object();
  constexpr absl::string_view kPrefix = "subset#";
  for (const std::string& section : settings.document().Sections()) {
    if (!absl::StartsWith(section, kPrefix)) continue;
    const absl::StatusOr<bool> parallel = settings.GetBoolean(section, "parallel");
    if (parallel.ok() && *parallel) subsets[section.substr(kPrefix.size())] = {{"parallel", true}};
  }
  return subsets;
}

}  // namespace

Json MakeStatusDocument(const ObjectSettings& settings, const std::vector<ResourceReport>& reports,
                        const InstanceFlags& flags) {
  Json document = {{"updated", om::ToUnixSeconds(flags.updated)},
                   {"kind", settings.path.kind()},
                   {"app", settings.app},
                   {"env", flags.env},
                   {"placement", Text(ToText(settings.placement))},
                   {"topology", Text(ToText(settings.topology))},
                   {"subsets", ParallelSubsets(settings)},
                   {"resources", Json::object()}};
  std::map<std::string, Availability> groups;
  for (const char* group : kGroups) groups[group] = Availability::kNa;
  Availability avail = Availability::kNa;
  Availability optional = Availability::kNa;
  Availability overall = Availability::kNa;
  std::optional<bool> provisioned;
  for (const ResourceReport& report : reports) {
    const ResourceSettings* resource = settings.FindResource(report.rid);
    if (resource == nullptr) continue;
    const bool disabled = resource->disable || settings.disable;
    document["resources"][report.rid] = ResourceJson(*resource, report, disabled);
    if (disabled || resource->encap) continue;
    Availability status = report.status;
    if (resource->group == "sync") {
      if (status == Availability::kUp) status = Availability::kNa;
      if (status == Availability::kDown) status = Availability::kWarn;
    }
    const auto group = groups.find(resource->group);
    if (group != groups.end()) group->second = Merge(group->second, status);
    Availability& part = resource->optional ? optional : avail;
    part = Merge(part, status);
    for (const auto& [level, text] : report.log) {
      if (level == "warn" || level == "error") overall = Merge(overall, Availability::kWarn);
    }
    if (report.provisioned.has_value())
      provisioned = provisioned.value_or(true) && *report.provisioned;
  }
  // Something up beside standby resources that are up makes the instance up; standby resources that
  // are up beside something down make it a standby.
  if (avail == Availability::kUpWithStdbyUp || optional == Availability::kUpWithStdbyUp) {
    if (avail == Availability::kStdbyUp) avail = Availability::kUp;
    if (optional == Availability::kStdbyUp) optional = Availability::kUp;
  }
  avail = Shown(avail);
  optional = Shown(optional);
  overall = Shown(Merge(Merge(overall, avail), optional));

  if (!settings.parents.empty()) document["parents"] = RelationTexts(settings.parents);
  if (!settings.children.empty()) document["children"] = RelationTexts(settings.children);
  if (!settings.slaves.empty()) document["slaves"] = RelationTexts(settings.slaves);
  if (settings.orchestrate != Orchestrate::kNo) {
    document["orchestrate"] = Text(ToText(settings.orchestrate));
  }
  if (!flags.constraints) document["constraints"] = false;
  if (settings.topology == Topology::kFlex) {
    document["flex_target"] = settings.flex_target;
    document["flex_min"] = settings.flex_min;
    document["flex_max"] = settings.flex_max;
  }
  if (settings.scale.has_value()) {
    document["scale"] = *settings.scale;
    document["scaler_slaves"] = Json::array();
  }
  if (settings.scaler_slave) document["scaler_slave"] = true;
  if (settings.stonith && settings.topology == Topology::kFailover && avail == Availability::kUp) {
    document["stonith"] = true;
  }
  const std::vector<std::string>& drpnodes = settings.drpnodes;
  if (std::find(drpnodes.begin(), drpnodes.end(), settings.context().nodename) != drpnodes.end()) {
    document["drp"] = true;
  }
  if (flags.frozen.has_value()) document["frozen"] = om::ToUnixSeconds(*flags.frozen);
  if (!flags.running.empty()) document["running"] = flags.running;
  Json status_group = Json::object();
  for (const char* group : kGroups) {
    status_group[group] = Text(AvailabilityName(Shown(groups[group])));
  }
  document["status_group"] = std::move(status_group);
  document["overall"] = Text(AvailabilityName(overall));
  document["avail"] = Text(AvailabilityName(avail));
  document["optional"] = Text(AvailabilityName(optional));
  if (provisioned.has_value()) document["provisioned"] = *provisioned;
  document["csum"] = StatusChecksum(document);
  return document;
}

Json MakeBareStatusDocument(absl::string_view kind, absl::Time updated) {
  Json document = {{"updated", om::ToUnixSeconds(updated)}, {"kind", Text(kind)}};
  document["csum"] = StatusChecksum(document);
  return document;
}

std::string StatusChecksum(const Json& document) {
  std::string leaves;
  AppendLeaves(document, &leaves);
  return HexMd5(leaves);
}

Availability OverallOf(const Json& document) { return StateOf(document, "overall"); }
Availability AvailOf(const Json& document) { return StateOf(document, "avail"); }

}  // namespace om
