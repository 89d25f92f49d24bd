using FluentAssertions;
using Xunit;

namespace MemSim.Explorer.Tests.Browser;

/// <summary>A machine without Chromium passes and says what it left out; one that has to have it does not.</summary>
public class BrowserChoiceTests
{
    [Fact]
    public void Debians_chromium_is_used_where_it_is() =>
        BrowserChoice.Of(null, "1", p => p == "/usr/bin/chromium").Should().Be(new BrowserChoice(BrowserDecision.Run, "/usr/bin/chromium", string.Empty));

    [Fact]
    public void A_browser_that_was_named_goes_before_one_that_was_found() =>
        BrowserChoice.Of("/opt/chrome", null, _ => true).Executable.Should().Be("/opt/chrome");

    [Fact]
    public void Without_a_browser_tests_are_left_out_and_say_how_to_get_one()
    {
        BrowserChoice choice = BrowserChoice.Of(null, null, _ => false);
        choice.Decision.Should().Be(BrowserDecision.LeaveOut);
        choice.Why.Should().Contain("apt-get install chromium").And.Contain("MEMSIM_CHROMIUM");
    }

    [Fact]
    public void Where_a_browser_is_required_its_absence_fails() => BrowserChoice.Of(null, "1", _ => false).Decision.Should().Be(BrowserDecision.Fail);

    [Fact]
    public void A_browser_that_was_named_wrongly_is_not_replaced_by_another()
    {
        BrowserChoice choice = BrowserChoice.Of("/opt/none", "1", p => p == "/usr/bin/chromium");
        choice.Decision.Should().Be(BrowserDecision.Fail);
        choice.Why.Should().Contain("/opt/none");
    }
}
