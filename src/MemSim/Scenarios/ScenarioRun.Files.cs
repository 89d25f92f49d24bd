namespace MemSim.Scenarios;

/// <content>Files.</content>
internal sealed partial class ScenarioRun
{
    private void CheckFiles()
    {
    }

    private void MakeFiles()
    {
    }

    private void CloseFiles()
    {
    }

    private static Result<VirtualAddress> MapFile(ScenarioActor actor, ScenarioStep step, long pages) => Errno.ENODEV;

    private static void StreamSome(ScenarioActor actor, ScenarioStep step) => actor.NextStep();
}
