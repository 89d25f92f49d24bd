using FluentAssertions;

namespace MemSim.Oracle.Tests.Observability.Proc;

/// <summary>Compares texts that must be equal to the last byte and says which lines are not.</summary>
internal static class TextLines
{
    public static void ShouldBeExactly(this string actual, string expected)
    {
        string[] actualLines = actual.Split('\n');
        string[] expectedLines = expected.Split('\n');
        List<string> differences = [];
        for (int i = 0; i < Math.Max(actualLines.Length, expectedLines.Length); i++)
        {
            string got = i < actualLines.Length ? actualLines[i] : "(end)";
            string want = i < expectedLines.Length ? expectedLines[i] : "(end)";
            if (got != want)
            {
                differences.Add($"line {i + 1}: printed '{got}', the kernel '{want}'");
            }
        }

        differences.Should().BeEmpty();
        actual.Should().Be(expected);
    }
}
