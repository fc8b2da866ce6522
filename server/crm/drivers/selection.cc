#include "server/crm/drivers/selection.h"

#include <algorithm>
#include <memory>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace om {
namespace {

constexpr absl::string_view kStartedGroups[] = {"ip",    "volume",    "disk", "fs",
                                                "share", "container", "app"};

bool Contains(const std::vector<std::string>& words, absl::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

absl::Span<const absl::string_view> StartedGroups() { return kStartedGroups; }

std::string SetNameOf(const ResourceSettings& resource) {
  return resource.subset.empty() ? resource.group
                                 : absl::StrCat(resource.group, ":", resource.subset);
}

bool HasTag(const ResourceSettings& resource, absl::string_view tag) {
  return Contains(resource.tags, tag);
}

bool ActionsApply(const Instance& instance, const ResourceSettings& resource) {
  return !resource.disable && !instance.settings.disable && !resource.encap &&
         !HasTag(resource, "noaction") && !HasTag(resource, "encap");
}

bool Selection::Matches(const ResourceSettings& resource) const {
  const std::string set = SetNameOf(resource);
  if (!rids.empty() && !Contains(rids, resource.rid) && !Contains(rids, resource.group) &&
      !Contains(rids, set)) {
    return false;
  }
  if (!subsets.empty() && !Contains(subsets, set) &&
      (resource.subset.empty() || !Contains(subsets, resource.subset))) {
    return false;
  }
  if (tags.empty()) return true;
  return std::any_of(tags.begin(), tags.end(), [&](const std::vector<std::string>& all) {
    return std::all_of(all.begin(), all.end(),
                       [&](const std::string& tag) { return HasTag(resource, tag); });
  });
}

std::string Selection::ToString() const {
  std::vector<std::string> options;
  if (!rids.empty()) options.push_back(absl::StrCat("--rid ", absl::StrJoin(rids, ",")));
  if (!tags.empty()) {
    std::vector<std::string> groups;
    for (const std::vector<std::string>& all : tags) groups.push_back(absl::StrJoin(all, "+"));
    options.push_back(absl::StrCat("--tags ", absl::StrJoin(groups, ",")));
  }
  if (!subsets.empty()) options.push_back(absl::StrCat("--subsets ", absl::StrJoin(subsets, ",")));
  return absl::StrJoin(options, " ");
}

absl::StatusOr<std::vector<ResourceSet>> SelectSets(const Instance& instance,
                                                    const Selection& selection,
                                                    absl::Span<const absl::string_view> groups) {
  struct Entry {
    size_t rank;
    std::string set;
    std::string key;
    const ResourceSettings* resource;
  };
  std::vector<Entry> entries;
  bool matched = !selection.limited();
  for (const ResourceSettings& resource : instance.settings.resources) {
    const auto group = std::find(groups.begin(), groups.end(), resource.group);
    if (group == groups.end() || !selection.Matches(resource)) continue;
    matched = true;
    if (!ActionsApply(instance, resource)) continue;
    entries.push_back({static_cast<size_t>(group - groups.begin()), SetNameOf(resource),
                       MakeDriver(&instance, &resource)->SortKey(), &resource});
  }
  if (!matched) {
    return absl::NotFoundError(
        absl::StrCat("no resource that the action works on matches ", selection.ToString()));
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.rank, a.set, a.key, a.resource->rid) <
           std::tie(b.rank, b.set, b.key, b.resource->rid);
  });
  std::vector<ResourceSet> sets;
  for (Entry& entry : entries) {
    if (sets.empty() || sets.back().name != entry.set) {
      ResourceSet set;
      set.name = entry.set;
      const std::string section = absl::StrCat("subset#", entry.set);
      set.parallel = instance.settings.GetBoolean(section, "parallel").value_or(false);
      sets.push_back(std::move(set));
    }
    sets.back().resources.push_back(entry.resource);
  }
  return sets;
}

void ReverseSets(std::vector<ResourceSet>* sets) {
  std::reverse(sets->begin(), sets->end());
  for (ResourceSet& set : *sets) std::reverse(set.resources.begin(), set.resources.end());
}

}  // namespace om
