#include "server/logs/secret_mask.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace om {
namespace {

TEST(SecretMaskTest, EveryOccurrenceOfEverySecretIsReplaced) {
  SecretMask mask;
  EXPECT_TRUE(mask.Add("first-secret"));
  EXPECT_TRUE(mask.Add("second"));
  EXPECT_EQ(mask.Mask("a first-secret, second and first-secret"), "a ***, *** and ***");
  EXPECT_EQ(mask.Mask("nothing of the kind"), "nothing of the kind");
  EXPECT_EQ(mask.Mask(""), "");
}

TEST(SecretMaskTest, OfSecretsWithOneBeginningTheLongestIsReplaced) {
  SecretMask mask;
  mask.Add("abcdef");
  mask.Add("abcdefghij");
  EXPECT_EQ(mask.Mask("abcdefghij abcdef"), "*** ***");
}

TEST(SecretMaskTest, ShortSecretsAreRefusedAndLeaveTextAlone) {
  SecretMask mask;
  EXPECT_FALSE(mask.Add(""));
  EXPECT_FALSE(mask.Add("abcde"));
  EXPECT_EQ(mask.Mask("abcde"), "abcde");
}

TEST(SecretMaskTest, AReplacedSecretStaysMaskedUntilManyNewerOnesCame) {
  SecretMask mask;
  mask.Add("secret-old");
  mask.Add("secret-older");
  mask.Add("secret-old");  // The newest again.
  for (size_t i = 0; i + 1 < SecretMask::kMaxSecrets; ++i) mask.Add(absl::StrCat("number", i, "#"));
  EXPECT_EQ(mask.Mask("secret-old!"), "***!");
  EXPECT_EQ(mask.Mask("a secret-older"), "a ***er");
  mask.Add("one more");
  EXPECT_EQ(mask.Mask("secret-old"), "secret-old");
}

}  // namespace
}  // namespace om
