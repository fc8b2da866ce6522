#include "server/state/snapshot.h"

#include <algorithm>
#include <utility>

namespace om {
namespace {

// A leaf that grows past this is cut in two.
constexpr size_t kMaxLeaf = 64;

bool Before(const std::shared_ptr<const ObjectState>& object, const ObjectPath& path) {
  return object->path < path;
}

}  // namespace

size_t ObjectTable::LeafIndex(const ObjectPath& path) const {
  // The last leaf that does not begin after `path`.
  const auto after = std::upper_bound(
      leaves_.begin(), leaves_.end(), path,
      [](const ObjectPath& wanted, const auto& leaf) { return wanted < leaf->front()->path; });
  return after == leaves_.begin() ? 0 : static_cast<size_t>(after - leaves_.begin()) - 1;
}

std::shared_ptr<const ObjectState> ObjectTable::Find(const ObjectPath& path) const {
  if (leaves_.empty()) return nullptr;
  const Leaf& leaf = *leaves_[LeafIndex(path)];
  const auto it = std::lower_bound(leaf.begin(), leaf.end(), path, Before);
  return it != leaf.end() && (*it)->path == path ? *it : nullptr;
}

void ObjectTable::ForEach(const std::function<void(const ObjectState&)>& visit) const {
  for (const auto& leaf : leaves_) {
    for (const auto& object : *leaf) visit(*object);
  }
}

std::vector<std::shared_ptr<const ObjectState>> ObjectTable::After(const ObjectPath* path,
                                                                   size_t limit) const {
  std::vector<std::shared_ptr<const ObjectState>> found;
  for (size_t i = path == nullptr ? 0 : LeafIndex(*path); i < leaves_.size(); ++i) {
    for (const auto& object : *leaves_[i]) {
      if (path != nullptr && !(*path < object->path)) continue;
      if (found.size() >= limit) return found;
      found.push_back(object);
    }
  }
  return found;
}

void ObjectTable::Put(std::shared_ptr<const ObjectState> object) {
  if (leaves_.empty()) {
    leaves_.push_back(std::make_shared<Leaf>(Leaf{std::move(object)}));
    size_ = 1;
    return;
  }
  const size_t index = LeafIndex(object->path);
  auto leaf = std::make_shared<Leaf>(*leaves_[index]);
  const auto it = std::lower_bound(leaf->begin(), leaf->end(), object->path, Before);
  if (it != leaf->end() && (*it)->path == object->path) {
    *it = std::move(object);
  } else {
    leaf->insert(it, std::move(object));
    ++size_;
  }
  if (leaf->size() > kMaxLeaf) {
    // Objects mostly appear in order: a full left leaf and a small right one fill up best.
    const auto middle = leaf->begin() + static_cast<Leaf::difference_type>(leaf->size() * 3 / 4);
    auto right = std::make_shared<Leaf>(middle, leaf->end());
    leaf->erase(middle, leaf->end());
    leaves_.insert(leaves_.begin() + static_cast<Leaf::difference_type>(index) + 1,
                   std::move(right));
  }
  leaves_[index] = std::move(leaf);
}

bool ObjectTable::Erase(const ObjectPath& path) {
  if (leaves_.empty()) return false;
  const size_t index = LeafIndex(path);
  auto leaf = std::make_shared<Leaf>(*leaves_[index]);
  const auto it = std::lower_bound(leaf->begin(), leaf->end(), path, Before);
  if (it == leaf->end() || (*it)->path != path) return false;
  leaf->erase(it);
  --size_;
  if (leaf->empty()) {
    leaves_.erase(leaves_.begin() + static_cast<Leaf::difference_type>(index));
  } else {
    leaves_[index] = std::move(leaf);
  }
  return true;
}

const NodeState* Snapshot::node(const std::string& name) const {
  const auto it = nodes->find(name);
  return it == nodes->end() ? nullptr : it->second.get();
}

}  // namespace om
