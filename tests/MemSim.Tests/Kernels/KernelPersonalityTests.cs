using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Zones;

public class KernelPersonalityTests
{
    [Theory]
    [InlineData("Linux (none) 6.1.0-56-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-16) x86_64 GNU/Linux", "6.1")]
    [InlineData("Linux (none) 6.12.117+deb12-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.12.117-1~deb12u1 x86_64", "6.12")]
    [InlineData("Linux version 6.1.0-50-686 (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0)", "6.1")]
    [InlineData("[    0.000000] Linux version 6.8-rc1 (x@y)", "6.12")]
    [InlineData("5.10.0", "6.1")]
    public void The_nearest_rules_are_chosen_for_a_kernel(string text, string name) =>
        KernelPersonality.Parse(text).Name.Should().Be(name);

    [Theory]
    [InlineData("")]
    [InlineData("Linux")]
    [InlineData("v. x.y")]
    public void A_text_without_a_version_is_an_error(string text)
    {
        Action parse = () => KernelPersonality.Parse(text);
        parse.Should().Throw<FormatException>();
    }
}
