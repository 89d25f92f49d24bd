namespace MemSim.Testing;

/// <summary>Marks exceptions that say that an assertion failed: xunit v3 looks for an interface of this name and reports a failure rather than an error.</summary>
internal interface IAssertionException;
